//! Keys by openssl, images that are all header, and bundles of them.

use std::io::Cursor;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::LazyLock;

use edged_update::{
    Hash, Here, Manifest, Part, PartEntry, Release, Schema, Succession, Successor, UpdateKey,
    assemble, signed,
};
use ring::rand::SystemRandom;
use ring::signature::{RSA_PKCS1_SHA256, RsaKeyPair};

/// What the images of these tests open data by.
pub const POLICY_KEY: &str = "-----BEGIN PUBLIC KEY-----\nZGF0YQ==\n-----END PUBLIC KEY-----\n";

/// A key of both halves.
pub struct Pair {
    pub public: UpdateKey,
    private: RsaKeyPair,
}

impl Pair {
    pub fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let openssl = |words: &str| {
            let done = Command::new("openssl")
                .current_dir(folder.path())
                .args(words.split(' '))
                .stderr(Stdio::null())
                .status();
            assert!(done.unwrap().success(), "openssl {words}");
        };
        openssl("genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:3072 -outform DER -out key");
        openssl("pkey -inform DER -in key -pubout -outform PEM -out public");
        let read = |name: &str| std::fs::read(Path::new(folder.path()).join(name)).unwrap();
        Self {
            public: UpdateKey::from_pem(&String::from_utf8(read("public")).unwrap()).unwrap(),
            private: RsaKeyPair::from_der(&read("key")).unwrap(),
        }
    }

    pub fn sign(&self, message: &[u8]) -> Vec<u8> {
        let mut signature = vec![0; self.private.public().modulus_len()];
        self.private
            .sign(
                &RSA_PKCS1_SHA256,
                &SystemRandom::new(),
                message,
                &mut signature,
            )
            .unwrap();
        signature
    }

    /// The statement that `next` comes after this key.
    pub fn succeeded_by(&self, next: &UpdateKey) -> Successor {
        Successor {
            key: next.clone(),
            by: self.public.fingerprint(),
            signature: self.sign(&next.succession_message()),
        }
    }
}

/// Three keys: making one takes a while.
pub static KEYS: LazyLock<[Pair; 3]> = LazyLock::new(|| [Pair::new(), Pair::new(), Pair::new()]);

/// The box of these tests: release 4 runs.
pub fn here() -> Here {
    Here {
        board: "qemu-aarch64".to_owned(),
        release: Release::new(4),
        key: KEYS[0].public.clone(),
        slot: 1 << 20,
        policy_key: Some(POLICY_KEY.to_owned()),
        schema: None,
    }
}

/// An image of two sections behind its headers, and some bytes for a kernel.
pub fn image(os_release: &str, policy_key: &str) -> Vec<u8> {
    let mut file = vec![0u8; 0x2000];
    let mut put = |at: usize, bytes: &[u8]| file[at..at + bytes.len()].copy_from_slice(bytes);
    put(0x3c, &0x40u32.to_le_bytes());
    put(0x40, b"PE\0\0");
    put(0x46, &2u16.to_le_bytes());
    put(0x54, &0xf0u16.to_le_bytes());
    for (index, (name, content, start)) in [
        (b".osrel".as_slice(), os_release, 0x1000u32),
        (b".pcrpkey", policy_key, 0x1800),
    ]
    .into_iter()
    .enumerate()
    {
        let at = 0x148 + index * 40;
        put(at, name);
        put(at + 8, &u32::try_from(content.len()).unwrap().to_le_bytes());
        put(at + 16, &0x800u32.to_le_bytes());
        put(at + 20, &start.to_le_bytes());
        put(usize::try_from(start).unwrap(), content.as_bytes());
    }
    file
}

/// The image of a release.
pub fn image_of(board: &str, release: u64) -> Vec<u8> {
    image(
        &format!("NAME=\"uMEC\"\nIMAGE_ID=umec-{board}\nUMEC_RELEASE={release}\n"),
        POLICY_KEY,
    )
}

/// A bundle that is about to be made, right in all it says until a test changes that.
pub struct Draft {
    pub manifest: Manifest,
    pub parts: [Vec<u8>; 3],
    pub signer: &'static Pair,
}

impl Draft {
    pub fn new() -> Self {
        let parts = [
            image_of("qemu-aarch64", 5),
            b"{\"events\":[]}".to_vec(),
            b"{\"packages\":[]}".to_vec(),
        ];
        let entries = Part::ALL.into_iter().zip(&parts);
        let manifest = Manifest {
            format: 1,
            board: "qemu-aarch64".to_owned(),
            version: "0.1.0".to_owned(),
            release: Release::new(5),
            built: 1_700_000_000,
            schema: Schema {
                writes: 3,
                reads: 3,
            },
            key: KEYS[0].public.fingerprint(),
            succession: Succession::default(),
            parts: entries.map(|(name, bytes)| entry(name, bytes)).collect(),
        };
        Self {
            manifest,
            parts,
            signer: &KEYS[0],
        }
    }

    /// With another image in it.
    pub fn image(mut self, image: Vec<u8>) -> Self {
        self.manifest.parts[0] = entry(Part::Uki, &image);
        self.parts[0] = image;
        self
    }

    /// With something else in its manifest.
    pub fn change(mut self, change: impl FnOnce(&mut Manifest)) -> Self {
        change(&mut self.manifest);
        self
    }

    /// The length of everything before the parts, and all bytes.
    pub fn bytes(&self) -> (usize, Vec<u8>) {
        let signed = signed(&self.manifest).unwrap();
        let signature = self.signer.sign(&signed);
        let mut whole = Vec::new();
        let mut parts = self.parts.clone().map(Cursor::new);
        let mut readers: Vec<&mut dyn std::io::Read> = Vec::new();
        for part in &mut parts {
            readers.push(part);
        }
        assemble(&mut whole, &signed, &signature, &mut readers).unwrap();
        (signed.len() + 2 + signature.len(), whole)
    }
}

fn entry(name: Part, bytes: &[u8]) -> PartEntry {
    PartEntry {
        name,
        size: u64::try_from(bytes.len()).unwrap(),
        sha256: Hash::of(bytes),
    }
}
