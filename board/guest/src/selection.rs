//! Which tests run in the guest.

/// Times that the tests' own limits are longer: QEMU translates every instruction, on two cores that other work shares.
const PATIENCE: u32 = 10;

/// Tests that cannot pass there, and why.
pub const LEFT_OUT: &[(&str, &str)] = &[];

/// The job of a guest: patience, then a program a line with its arguments.
pub fn job(programs: &[String], names: &[String]) -> String {
    let mut job = format!("{PATIENCE}\n");
    for program in programs {
        job.push_str(program);
        job.push_str(" --test-threads=1");
        for (name, _) in LEFT_OUT {
            job.push_str(" --skip ");
            job.push_str(name);
        }
        for name in names {
            job.push(' ');
            job.push_str(name);
        }
        job.push('\n');
    }
    job
}
