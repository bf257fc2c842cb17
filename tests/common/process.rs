//! Child processes that never outlive the test process.

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

/// Runs `"$@"` and watches its own standard input, a pipe whose other end only the test process holds.
///
/// The kernel closes that end however the test process goes: by its end, a panic, `std::process::exit` past
/// every destructor, or SIGKILL. Then the program is killed and the directory `$1` removed. Until then each
/// line that comes is the name of a signal for the program.
///
/// The pipe moves to descriptor 3 because a shell gives its background jobs an empty standard input. The main
/// shell outlives Ctrl-C so that the directory goes away after it, too.
const SUPERVISE: &str = r#"
dir=$1
shift
exec 3<&0 </dev/null
trap : INT TERM HUP
"$@" 3<&- &
child=$!
{
    while read -r signal <&3; do kill -s "$signal" "$child"; done
    kill -s KILL "$child"
} 2>/dev/null &
watcher=$!
exec 3<&-
while :; do
    wait "$child"
    code=$?
    kill -s 0 "$child" 2>/dev/null || break
done
kill -s KILL "$watcher" 2>/dev/null
# 137 is 128 + SIGKILL. A program that ended by itself leaves its log for the test to show.
if [ "$code" = 137 ]; then rm -rf -- "$dir"; fi
exit "$code"
"#;

/// A program that dies with this value, and with this process.
pub struct Supervised(Child);

impl Supervised {
    /// A command that runs `program`; for the caller to add arguments, environment and outputs, then
    /// [`spawn`](Self::spawn). `dir` is removed when the program has been killed.
    pub fn command(program: &Path, dir: &Path) -> Command {
        let mut command = Command::new("/bin/sh");
        command
            .args(["-c", SUPERVISE, "supervise"])
            .arg(dir)
            .arg(program);
        command
    }

    /// Starts what [`command`](Self::command) made.
    pub fn spawn(mut command: Command) -> io::Result<Self> {
        command.stdin(Stdio::piped()).spawn().map(Self)
    }

    /// The child's own end of the standard error pipe, if the command asked for one.
    pub fn take_stderr(&mut self) -> Option<std::process::ChildStderr> {
        self.0.stderr.take()
    }

    /// The process id of the program, which is a child of the shell that watches it.
    pub fn program_id(&self) -> u32 {
        let shell = self.0.id();
        let children = std::fs::read_to_string(format!("/proc/{shell}/task/{shell}/children"))
            .expect("Linux says");
        let is_shell = |pid: &u32| {
            std::fs::read_to_string(format!("/proc/{pid}/comm")).is_ok_and(|name| name == "sh\n")
        };
        let mut programs = children
            .split_whitespace()
            .filter_map(|pid| pid.parse().ok())
            .filter(|pid| !is_shell(pid));
        programs.next().expect("the program runs")
    }

    /// The child's own end of the standard output pipe, if the command asked for one.
    pub fn take_stdout(&mut self) -> Option<std::process::ChildStdout> {
        self.0.stdout.take()
    }

    /// Sends a signal by its name without `SIG`: `TERM`, `STOP`, `CONT`.
    pub fn signal(&mut self, name: &str) {
        let lifeline = self.0.stdin.as_mut().expect("standard input is a pipe");
        // A program that is gone already needs no signal.
        let _ = writeln!(lifeline, "{name}").and_then(|()| lifeline.flush());
    }

    /// How the program ended, if it did; killed by a signal it is 128 more than the signal's number.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.0.try_wait().expect("our own child can be waited for")
    }

    /// As [`ended`](Self::ended), but waits for it.
    pub fn ends_within(&mut self, limit: Duration) -> Option<ExitStatus> {
        let start = Instant::now();
        loop {
            match self.ended() {
                None if start.elapsed() < limit => std::thread::sleep(Duration::from_millis(10)),
                ended => return ended,
            }
        }
    }
}

impl Drop for Supervised {
    fn drop(&mut self) {
        // `wait` closes the pipe first, and that is what kills.
        let _ = self.0.wait();
    }
}

/// Where the programs are that one of the build scripts makes, by a build if need be; what it says goes to the terminal,
/// for it may take minutes.
pub fn programs(script: &str) -> Result<PathBuf, Box<dyn std::error::Error + Send + Sync>> {
    let output = Command::new("bash")
        .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join(script))
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()?;
    if !output.status.success() {
        return Err(format!("{script} failed ({}): it says why above", output.status).into());
    }
    Ok(PathBuf::from(String::from_utf8(output.stdout)?.trim_end()))
}
