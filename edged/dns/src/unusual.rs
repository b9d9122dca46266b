//! The slow path: everything that is not a plain question is parsed, judged and answered by the DNS library, from the
//! same table.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use hickory_proto::op::{Edns, Header, Message, MessageType, Metadata, OpCode, ResponseCode};
use hickory_proto::rr::{DNSClass, LowerName, Name, Record, RecordType};
use hickory_proto::serialize::binary::{BinDecodable, BinDecoder, BinEncoder};
use hickory_server::net::NetError;
use hickory_server::net::runtime::{Time, TokioTime};
use hickory_server::net::xfer::Protocol;
use hickory_server::server::{Request, RequestHandler, RequestInfo, ResponseHandler, ResponseInfo};
use hickory_server::zone_handler::{
    AuthLookup, AxfrPolicy, Catalog, LookupControlFlow, LookupError, LookupOptions, LookupRecords,
    MessageResponse, MessageResponseBuilder, ZoneHandler, ZoneType,
};

use crate::answer::{PAYLOAD_MAX, Transport};
use crate::domain::wire;
use crate::query::is_meta;
use crate::table::{Found, Table, minimal_any};

/// What becomes of an unusual message.
#[derive(Debug)]
pub(crate) enum Judged {
    /// Send this.
    Answered(Vec<u8>),
    /// Send this: the source may not ask for that.
    Refused(Vec<u8>),
    /// Ask an upstream.
    Forward,
    /// No answer is due.
    Ignored,
}

/// Judges and answers one message.
pub(crate) async fn judge(
    table: &Arc<Table>,
    packet: &[u8],
    source: SocketAddr,
    transport: Transport,
) -> Judged {
    let protocol = match transport {
        Transport::Udp => Protocol::Udp,
        Transport::Tcp => Protocol::Tcp,
    };
    let Ok(request) = Request::from_bytes(packet.to_vec(), source, protocol) else {
        return malformed(packet);
    };
    if request.metadata.message_type == MessageType::Response {
        return Judged::Ignored;
    }
    let forwards = table.forwards(source.ip());
    let judge = Judge {
        table: Arc::clone(table),
    };
    if forwards && judge.forwardable(&request) {
        return Judged::Forward;
    }
    let edns = request.edns.as_ref();
    let reply = Reply::new(
        transport.own_limit(edns.map(Edns::max_payload), packet.len()),
        forwards,
        edns.is_some_and(|edns| edns.flags().dnssec_ok),
    );
    let info = judge
        .handle_request::<_, TokioTime>(&request, reply.clone())
        .await;
    let refused = info.response_code == ResponseCode::Refused;
    match reply.take() {
        Some(bytes) if refused => Judged::Refused(bytes),
        Some(bytes) => Judged::Answered(bytes),
        None => Judged::Ignored,
    }
}

/// A message that cannot be read gets its id back with FORMERR, if it has one and is no answer.
fn malformed(packet: &[u8]) -> Judged {
    let Ok(header) = Header::read(&mut BinDecoder::new(packet)) else {
        return Judged::Ignored;
    };
    if header.metadata.message_type == MessageType::Response {
        return Judged::Ignored;
    }
    let mut message = Message::error_msg(
        header.metadata.id,
        header.metadata.op_code,
        ResponseCode::FormErr,
    );
    message.metadata.recursion_desired = header.metadata.recursion_desired;
    message.to_vec().map_or(Judged::Ignored, Judged::Answered)
}

/// Decides what the library's catalog may see.
struct Judge {
    table: Arc<Table>,
}

impl Judge {
    /// Whether this is a question for data of somebody else's name.
    fn forwardable(&self, request: &Request) -> bool {
        let Ok(info) = request.request_info() else {
            return false;
        };
        Self::objection(request).is_none()
            && matches!(
                self.table
                    .find(&key(info.query.name()), info.query.query_type().into()),
                Found::Outside
            )
    }

    /// The code that turns a request away before any name is looked up.
    fn objection(request: &Request) -> Option<ResponseCode> {
        if request.metadata.op_code != OpCode::Query {
            return Some(ResponseCode::NotImp);
        }
        if request.version() > 0 {
            return Some(ResponseCode::BADVERS);
        }
        let Ok(info) = request.request_info() else {
            return Some(ResponseCode::FormErr);
        };
        if info.query.query_class() != DNSClass::IN {
            return Some(ResponseCode::Refused);
        }
        match info.query.query_type() {
            // Zone transfers: the names of applications are nobody's list.
            RecordType::AXFR | RecordType::IXFR => Some(ResponseCode::Refused),
            RecordType::OPT => Some(ResponseCode::FormErr),
            kind if is_meta(kind.into()) => Some(ResponseCode::NotImp),
            _ => None,
        }
    }
}

#[async_trait::async_trait]
impl RequestHandler for Judge {
    async fn handle_request<R: ResponseHandler, T: Time>(
        &self,
        request: &Request,
        mut reply: R,
    ) -> ResponseInfo {
        let edns = request.edns.as_ref().map(|_| Edns::new());
        let builder = || MessageResponseBuilder::new(&request.queries, edns.as_ref());
        if let Some(code) = Self::objection(request) {
            let sent = reply
                .send_response(builder().error_msg(&request.metadata, code))
                .await;
            return sent.unwrap_or_else(|_| failed(request));
        }
        let mut catalog = Catalog::new();
        if let Ok(info) = request.request_info()
            && let Some(view) = View::of(&self.table, info.query.name())
        {
            catalog.upsert(view.origin.clone(), vec![Arc::new(view)]);
        }
        let info = catalog.handle_request::<R, T>(request, reply.clone()).await;
        if !info.truncation {
            return info;
        }
        // Half a set of records helps nobody, and the OPT record must not be what was cut off.
        let sent = reply.send_response(builder().build_no_records(*info)).await;
        sent.unwrap_or_else(|_| failed(request))
    }
}

fn failed(request: &Request) -> ResponseInfo {
    let mut metadata = Metadata::response_from_request(&request.metadata);
    metadata.response_code = ResponseCode::ServFail;
    ResponseInfo::from(Header {
        metadata,
        counts: hickory_proto::op::HeaderCounts::default(),
    })
}

fn key(name: &LowerName) -> Box<[u8]> {
    wire(name)
}

/// One cut of the table, as a zone of the library's catalog.
struct View {
    table: Arc<Table>,
    origin: LowerName,
    soa: Record,
}

impl View {
    fn of(table: &Arc<Table>, name: &LowerName) -> Option<Self> {
        let cut = match table.find(&key(name), RecordType::ANY.into()) {
            Found::Set(_, cut) | Found::Any(cut) | Found::NoData(cut) | Found::NoName(cut) => cut,
            Found::Outside => return None,
        };
        Some(Self {
            table: Arc::clone(table),
            origin: cut.origin.clone(),
            soa: cut.soa.clone(),
        })
    }
}

fn found(records: Vec<Record>) -> LookupControlFlow<AuthLookup> {
    LookupControlFlow::Break(Ok(AuthLookup::answers(
        LookupRecords::Section(records),
        None,
    )))
}

/// The same records under the name as the client wrote it.
fn named(found: &AuthLookup, name: &Name) -> AuthLookup {
    let mut records: Vec<Record> = found.iter().cloned().collect();
    for record in &mut records {
        record.name.clone_from(name);
    }
    AuthLookup::answers(LookupRecords::Section(records), None)
}

#[async_trait::async_trait]
impl ZoneHandler for View {
    fn zone_type(&self) -> ZoneType {
        ZoneType::Primary
    }

    fn axfr_policy(&self) -> AxfrPolicy {
        AxfrPolicy::Deny
    }

    fn origin(&self) -> &LowerName {
        &self.origin
    }

    async fn lookup(
        &self,
        name: &LowerName,
        kind: RecordType,
        _info: Option<&RequestInfo<'_>>,
        _options: LookupOptions,
    ) -> LookupControlFlow<AuthLookup> {
        if kind == RecordType::SOA && *name == self.origin {
            return found(vec![self.soa.clone()]);
        }
        match self.table.find(&key(name), kind.into()) {
            Found::Set(set, _) => found(set.records.clone()),
            Found::Any(_) => found(vec![minimal_any(name.into())]),
            Found::NoData(_) => LookupControlFlow::Break(Err(LookupError::NameExists)),
            Found::NoName(_) => {
                LookupControlFlow::Break(Err(LookupError::ResponseCode(ResponseCode::NXDomain)))
            }
            Found::Outside => {
                LookupControlFlow::Break(Err(LookupError::ResponseCode(ResponseCode::Refused)))
            }
        }
    }

    async fn search(
        &self,
        request: &Request,
        options: LookupOptions,
    ) -> (
        LookupControlFlow<AuthLookup>,
        Option<hickory_proto::rr::TSigResponseContext>,
    ) {
        let result = match request.request_info() {
            Ok(info) => {
                // The name as it was asked: clients that vary its case expect it back.
                let asked = info.query.original().name();
                let lookup = self.lookup(
                    info.query.name(),
                    info.query.query_type(),
                    Some(&info),
                    options,
                );
                lookup.await.map(|found| named(&found, asked))
            }
            Err(error) => LookupControlFlow::Break(Err(error)),
        };
        (result, None)
    }

    async fn nsec_records(
        &self,
        _name: &LowerName,
        _options: LookupOptions,
    ) -> LookupControlFlow<AuthLookup> {
        // The zone is not signed.
        found(Vec::new())
    }
}

/// Takes the library's answer as bytes of the size and with the flags that the fast path would choose.
#[derive(Clone)]
pub(crate) struct Reply {
    bytes: Arc<Mutex<Option<Vec<u8>>>>,
    limit: usize,
    recursion_available: bool,
    dnssec_ok: bool,
}

impl Reply {
    pub(crate) fn new(limit: usize, recursion_available: bool, dnssec_ok: bool) -> Self {
        Self {
            bytes: Arc::default(),
            limit,
            recursion_available,
            dnssec_ok,
        }
    }

    pub(crate) fn take(&self) -> Option<Vec<u8>> {
        self.bytes.lock().ok().and_then(|mut bytes| bytes.take())
    }
}

#[async_trait::async_trait]
impl ResponseHandler for Reply {
    async fn send_response<'a>(
        &mut self,
        response: MessageResponse<
            '_,
            'a,
            impl Iterator<Item = &'a Record> + Send + 'a,
            impl Iterator<Item = &'a Record> + Send + 'a,
            impl Iterator<Item = &'a Record> + Send + 'a,
            impl Iterator<Item = &'a Record> + Send + 'a,
        >,
    ) -> Result<ResponseInfo, NetError> {
        let edns = response.edns().cloned().map(|mut edns| {
            edns.set_max_payload(PAYLOAD_MAX)
                .set_dnssec_ok(self.dnssec_ok);
            edns
        });
        let mut response = response;
        if let Some(edns) = &edns {
            response.set_edns(edns);
        }
        response.metadata_mut().recursion_available = self.recursion_available;
        let mut bytes = Vec::with_capacity(usize::from(PAYLOAD_MAX));
        let mut encoder = BinEncoder::new(&mut bytes);
        encoder.set_max_size(u16::try_from(self.limit).unwrap_or(u16::MAX));
        let info = response.destructive_emit(&mut encoder)?;
        if let Ok(mut place) = self.bytes.lock() {
            *place = Some(bytes);
        }
        Ok(info)
    }
}
