//! NVIDIA GPUs, as `nvidia-smi` tells of them. Cards are known by UUID: their numbers differ from program to program.

use std::io::Read;
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// One GPU.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Gpu {
    /// `GPU-5f3c…`.
    pub uuid: String,
    /// `NVIDIA A100-SXM4-40GB`.
    pub name: String,
    /// MiB of memory.
    pub memory: u64,
    /// MiB of it that are taken, by whomever.
    pub used: u64,
    /// Version of the driver.
    pub driver: String,
}

/// It answers within this time, or not at all.
pub(crate) const LONGEST: Duration = Duration::from_secs(10);
/// What is asked of `nvidia-smi`, in the order of the fields above.
const QUERY: &str = "--query-gpu=uuid,name,memory.total,memory.used,driver_version";

/// The GPUs of this machine; none where there is no `nvidia-smi`, or it finds none.
pub fn gpus() -> Vec<Gpu> {
    ask(QUERY).map_or_else(Vec::new, |said| said.lines().filter_map(parse).collect())
}

/// Watts that each GPU draws now, by UUID; those that do not tell are left out.
pub fn power() -> Vec<(String, f64)> {
    let card = |line: &str| {
        let (uuid, watts) = line.split_once(',')?;
        let watts: f64 =
            watts.trim().parse().ok().filter(|watts: &f64| watts.is_finite() && *watts >= 0.0)?;
        Some((uuid.trim().to_owned(), watts))
    };
    ask("--query-gpu=uuid,power.draw").map_or_else(Vec::new, |said| said.lines().filter_map(card).collect())
}

/// What `nvidia-smi` answers; none where there is none, or it has trouble. A caller that reaps all its children may take this one's exit
/// status away: what it said has to do.
fn ask(query: &str) -> Option<String> {
    let mut command = Command::new("nvidia-smi");
    command.args([query, "--format=csv,noheader,nounits"]).stdin(Stdio::null()).stderr(Stdio::null());
    let mut child = command.stdout(Stdio::piped()).spawn().ok()?;
    let mut pipe = child.stdout.take()?;
    let (sender, said) = mpsc::channel();
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        let read = pipe.read_to_end(&mut bytes);
        // Nobody waits any more if it took too long.
        let _ = sender.send(read.ok().map(|_| String::from_utf8_lossy(&bytes).into_owned()));
    });
    // A driver in trouble lets it hang.
    let said = said.recv_timeout(LONGEST).ok().flatten();
    if said.is_none() {
        let _ = child.kill();
    }
    match child.wait() {
        Ok(status) if !status.success() => None,
        _ => said,
    }
}

/// How busy a card is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Load {
    /// Its number, as `nvidia-smi` counts.
    pub index: String,
    /// Its UUID.
    pub uuid: String,
    /// Percent of the last second or less in which it computed.
    pub percent: u32,
}

impl Load {
    /// What asks for the load of all cards.
    pub fn question() -> Command {
        let mut command = Command::new("nvidia-smi");
        command.args(["--query-gpu=index,uuid,utilization.gpu", "--format=csv,noheader,nounits"]);
        command
    }

    /// The answer; a card that does not tell (a part of one does not) is left out.
    pub fn read(text: &str) -> Vec<Self> {
        let line = |line: &str| {
            let fields: Vec<&str> = line.split(',').map(str::trim).collect();
            let [index, uuid, percent] = fields.as_slice() else { return None };
            let percent = percent.parse().ok()?;
            Some(Self { index: (*index).to_owned(), uuid: (*uuid).to_owned(), percent })
        };
        text.lines().filter_map(line).collect()
    }
}

/// One line: a card that says nothing of its memory counts as empty.
fn parse(line: &str) -> Option<Gpu> {
    let fields: Vec<&str> = line.split(',').map(str::trim).collect();
    let [uuid, name, memory, used, driver] = fields.as_slice() else { return None };
    let number = |text: &str| text.parse().unwrap_or(0);
    (uuid.starts_with("GPU-") || uuid.starts_with("MIG-")).then(|| Gpu {
        uuid: (*uuid).to_owned(),
        name: (*name).to_owned(),
        memory: number(memory),
        used: number(used),
        driver: (*driver).to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_load_of_cards_is_read_and_one_that_does_not_tell_is_left_out() {
        let loads = Load::read("0, GPU-1, 97\n1, GPU-2, [N/A]\nNo devices were found\n");
        assert_eq!(loads, [Load { index: "0".into(), uuid: "GPU-1".into(), percent: 97 }]);
    }

    #[test]
    fn lines_are_cards_and_other_words_are_not() {
        let gpu = parse("GPU-5f3c, NVIDIA A100-SXM4-40GB, 40960, 12, 550.54.15").expect("a card");
        assert_eq!((gpu.memory, gpu.used, gpu.driver.as_str()), (40_960, 12, "550.54.15"));
        assert_eq!(parse("MIG-1, x, [N/A], [N/A], 550").expect("a part of one").used, 0);
        for other in ["", "No devices were found", "a, b, c, d, e"] {
            assert_eq!(parse(other), None, "{other}");
        }
    }
}
