//! Which tests run in the guest: every program that starts containers (`board_cross::black_box` lists them), but for
//! these.

/// Times that the tests' own limits are longer: QEMU translates every instruction, on two cores that other work shares.
const PATIENCE: u32 = 10;

/// As many tests at once as the guest has processors: a test is mostly a row of programs that wait for each other.
const THREADS: &str = " --test-threads=2";

/// Test programs that start containers and are left to the machine's own tests, and why.
pub const LEFT_OUT: &[(&str, &str)] = &[
    (
        "faults",
        "cuts edged at points that only a debug build has, and the guest has the programs of a box; the worker's own \
         points are cut in the guest",
    ),
    (
        "api",
        "asks the HTTP interfaces, with Python for two clients: its containers are those of lifecycle and packages",
    ),
];

/// The job of a guest: patience, then a program a line with its arguments.
pub fn job(programs: &[String], names: &[String]) -> String {
    let mut job = format!("{PATIENCE}\n");
    for program in programs {
        job.push_str(program);
        job.push_str(THREADS);
        for name in names {
            job.push(' ');
            job.push_str(name);
        }
        job.push('\n');
    }
    job
}
