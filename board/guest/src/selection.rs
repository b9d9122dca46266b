//! Which tests run in the guest: those of containers and of what the kernel does for them. `board_cross::black_box`
//! compiles them and those that `--all` adds.

/// Times that the tests' own limits are longer: QEMU translates every instruction, on two cores that other work shares.
const PATIENCE: u32 = 10;

/// As many tests at once as the guest has processors: a test is mostly a row of programs that wait for each other.
const THREADS: &str = " --test-threads=2";

/// Test programs that start containers and run only when all are asked for, and why.
pub const ON_REQUEST: &[(&str, &str)] = &[
    (
        "umec-tests-lifecycle",
        "orders life cycles over HTTP: its containers are those of runtime",
    ),
    (
        "umec-tests-packages",
        "reads archives: its containers are those of runtime",
    ),
    (
        "umec-tests-verbs",
        "asks for the rules of netns by the operator's verbs",
    ),
];

/// Test programs that start containers and are left to the machine's own tests, and why.
pub const LEFT_OUT: &[(&str, &str)] = &[
    (
        "umec-tests-faults",
        "cuts edged at points that a debug build alone has, and the guest has the programs of a box; the worker's own \
         points are cut in the guest",
    ),
    (
        "umec-tests-api",
        "asks the HTTP interfaces, with Python for two clients: its containers are those of runtime",
    ),
];

/// The job of a guest: patience, then a program a line with its arguments; of all programs, or of those that run
/// unasked.
pub fn job(programs: &[String], all: bool, names: &[String]) -> String {
    let mut job = format!("{PATIENCE}\n");
    let on_request = |program: &&String| ON_REQUEST.iter().any(|(name, _)| name == *program);
    for program in programs
        .iter()
        .filter(|program| all || !on_request(program))
    {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_runs_on_request_runs_only_when_all_is_asked_for() {
        let programs = ["umec-tests-runtime", "umec-tests-verbs"].map(str::to_owned);
        let names = ["a_name".to_owned()];
        let some = job(&programs, false, &names);
        assert!(some.contains("\numec-tests-runtime --test-threads=2 a_name\n"));
        assert!(!some.contains("verbs"));
        assert!(job(&programs, true, &names).contains("\numec-tests-verbs "));
    }
}
