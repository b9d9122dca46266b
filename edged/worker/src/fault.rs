//! Named points at which a debug build ends abruptly, so that tests can see what a power cut there leaves behind.

/// Where `EDGED_FAULT=worker:NAME` aborts a debug build.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// A layer is unpacked beside its place, not yet renamed.
    BeforeLayerRename,
    /// A container's folder and record exist, nothing else of it.
    BeforeCreate,
    /// A container is made, its record still says that it is being made.
    AfterCreate,
    /// A container's program runs, its record still says that it does not.
    AfterStart,
    /// A container is gone from the kernel, its folder is still there.
    BeforeForget,
}

impl Fault {
    /// Every point.
    pub const ALL: [Self; 5] = [
        Self::BeforeLayerRename,
        Self::BeforeCreate,
        Self::AfterCreate,
        Self::AfterStart,
        Self::BeforeForget,
    ];

    /// The point's name in `EDGED_FAULT`.
    pub fn name(self) -> &'static str {
        match self {
            Self::BeforeLayerRename => "worker:before-layer-rename",
            Self::BeforeCreate => "worker:before-create",
            Self::AfterCreate => "worker:after-create",
            Self::AfterStart => "worker:after-start",
            Self::BeforeForget => "worker:before-forget",
        }
    }
}

/// Ends the process here if the environment names this point. Nothing in a release build.
pub fn point(fault: Fault) {
    if cfg!(debug_assertions)
        && std::env::var_os("EDGED_FAULT").is_some_and(|name| name == fault.name())
    {
        if crate::child::is_helper() {
            // The worker goes first: a power cut spares nobody.
            let _ =
                nix::sys::signal::kill(nix::unistd::getppid(), nix::sys::signal::Signal::SIGKILL);
        }
        std::process::abort();
    }
}
