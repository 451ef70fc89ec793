//! Telling pickles by their bytes and names, without running them (opcodes: Python's `pickletools`).

/// How the names of files end that are read as pickles.
const ENDINGS: [&str; 6] = [".pkl", ".pickle", ".pt", ".pth", ".ckpt", ".joblib"];

/// Opcodes that are looked at: those that run code come early or never.
const STEPS: usize = 1 << 20;

/// Whether a file of this name is read as a pickle by those who know it.
pub(super) fn is_called_pickle(path: &[u8]) -> bool {
    let path = path.to_ascii_lowercase();
    ENDINGS.iter().any(|ending| path.ends_with(ending.as_bytes()))
}

/// Whether the bytes are those of a zip with a file that is called as a pickle, wherever in it: so PyTorch saves.
pub(super) fn holds_pickle(bytes: &[u8]) -> bool {
    if bytes.starts_with(b"PK\x03\x04") && bytes.windows(9).any(|name| name == b"/data.pkl") {
        return true;
    }
    // Entries and those of the directory at the end: where the length of the name and the name stand.
    let headers: [(&[u8; 4], usize, usize); 2] = [(b"PK\x03\x04", 26, 30), (b"PK\x01\x02", 28, 46)];
    let mut rest = bytes;
    while let Some(at) = rest.iter().position(|byte| *byte == b'P') {
        rest = &rest[at..];
        for (mark, length, name) in headers {
            if !rest.starts_with(mark) {
                continue;
            }
            let Some([low, high]) = rest.get(length..length + 2) else { continue };
            let length = usize::from(u16::from_le_bytes([*low, *high]));
            let end = rest.len().min(name + length);
            if rest.get(name..end).is_some_and(is_called_pickle) {
                return true;
            }
        }
        rest = &rest[1..];
    }
    false
}

/// What lies on the stack of the machine that reads a pickle.
#[derive(Clone, Copy, PartialEq)]
enum Item {
    Mark,
    Tuple,
    Other,
}

/// Whether the bytes are a pickle: of protocol 2 or later by its mark; of 0 and 1, which have none, if they can be read as one that
/// calls something or comes to an end.
pub(super) fn is_pickle(bytes: &[u8]) -> bool {
    matches!(bytes, [0x80, 2..=5, ..]) || walk(bytes).unwrap_or(false)
}

/// Reads opcodes of protocols 0 and 1 until one calls what is on the stack, or the end is there. None for what is no pickle.
fn walk(bytes: &[u8]) -> Option<bool> {
    let mut rest = bytes;
    let mut stack: Vec<Item> = Vec::new();
    for _ in 0..STEPS {
        let (&opcode, after) = rest.split_first()?;
        rest = after;
        match opcode {
            // The end: one thing is left, and nothing but a line's end comes after it.
            b'.' => return Some(stack.len() == 1 && stack[0] != Item::Mark && rest.trim_ascii().is_empty()),
            b'(' => stack.push(Item::Mark),
            b'0' => drop(stack.pop()?),
            b'1' => back(&mut stack)?,
            b'2' => stack.push(*stack.last()?),
            b'N' | b']' | b'}' => stack.push(Item::Other),
            b')' => stack.push(Item::Tuple),
            b'F' | b'I' | b'L' | b'S' | b'V' | b'g' | b'P' => {
                line(&mut rest)?;
                stack.push(Item::Other);
            }
            b'J' => fixed(&mut rest, 4, &mut stack)?,
            b'K' | b'h' => fixed(&mut rest, 1, &mut stack)?,
            b'M' => fixed(&mut rest, 2, &mut stack)?,
            b'G' => fixed(&mut rest, 8, &mut stack)?,
            b'j' => fixed(&mut rest, 4, &mut stack)?,
            b'T' | b'X' => {
                let length = u32::from_le_bytes(take(&mut rest, 4)?.try_into().ok()?);
                fixed(&mut rest, length as usize, &mut stack)?;
            }
            b'U' => {
                let length = usize::from(take(&mut rest, 1)?[0]);
                fixed(&mut rest, length, &mut stack)?;
            }
            b'p' => {
                line(&mut rest)?;
                stack.last()?;
            }
            b'q' => drop((take(&mut rest, 1)?, stack.last()?)),
            b'r' => drop((take(&mut rest, 4)?, stack.last()?)),
            b'Q' => {
                stack.pop()?;
                stack.push(Item::Other);
            }
            b't' => {
                back(&mut stack)?;
                stack.push(Item::Tuple);
            }
            b'l' | b'd' => {
                back(&mut stack)?;
                stack.push(Item::Other);
            }
            b'e' | b'u' => {
                back(&mut stack)?;
                stack.last()?;
            }
            b'a' => drop((stack.pop()?, stack.last()?)),
            b's' => drop((stack.pop()?, stack.pop()?, stack.last()?)),
            // What is imported: two names, each on a line.
            b'c' => {
                if !is_path(line(&mut rest)?) || !is_path(line(&mut rest)?) {
                    return None;
                }
                stack.push(Item::Other);
            }
            // A call of what is imported, or of what lies on the stack.
            b'i' => {
                back(&mut stack)?;
                return Some(is_path(line(&mut rest)?) && is_path(line(&mut rest)?));
            }
            b'o' => return Some(stack.contains(&Item::Mark) && *stack.last()? != Item::Mark),
            b'R' => {
                let arguments = stack.pop()?;
                // A tuple may have come from the memo, too.
                return Some(arguments != Item::Mark && *stack.last()? != Item::Mark);
            }
            b'b' => drop((stack.pop()?, stack.last()?)),
            _ => return None,
        }
    }
    // Whatever can be read so far is one.
    Some(true)
}

/// Takes everything down to the last mark, and the mark.
fn back(stack: &mut Vec<Item>) -> Option<()> {
    let at = stack.iter().rposition(|item| *item == Item::Mark)?;
    stack.truncate(at);
    Some(())
}

fn take<'a>(rest: &mut &'a [u8], count: usize) -> Option<&'a [u8]> {
    let (taken, after) = rest.split_at_checked(count)?;
    *rest = after;
    Some(taken)
}

fn fixed(rest: &mut &[u8], count: usize, stack: &mut Vec<Item>) -> Option<()> {
    take(rest, count)?;
    stack.push(Item::Other);
    Some(())
}

fn line<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    let end = rest.iter().position(|byte| *byte == b'\n')?;
    let line = take(rest, end)?;
    *rest = &rest[1..];
    Some(line)
}

/// A name such as `os.path`.
fn is_path(name: &[u8]) -> bool {
    !name.is_empty()
        && name.iter().all(|byte| byte.is_ascii_alphanumeric() || b"_.".contains(byte) || *byte >= 0x80)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pickles_of_every_protocol_are_told_by_their_bytes() {
        for bytes in [
            // pickle.dumps(os.system("true")-alike, 0) and 1, one that never ends, and an instance of old.
            &b"cposix\nsystem\np0\n(Vtrue\np1\ntp2\nRp3\n."[..],
            b"cposix\nsystem\nq\x00(X\x04\x00\x00\x00trueq\x01tq\x02Rq\x03.",
            b"cos\nsystem\n(S'true'\ntR",
            b"(S'true'\nios\nsystem\n.",
            b"(cos\nsystem\nS'true'\no.",
            // pickle.dumps({"a": [1.5, None]}, 0) and 1.
            b"(dp0\nVa\np1\n(lp2\nF1.5\naNas.",
            b"}q\x00X\x01\x00\x00\x00aq\x01]q\x02(G?\xf8\x00\x00\x00\x00\x00\x00Nes.",
            b"\x80\x02N.",
        ] {
            assert!(is_pickle(bytes), "{:?}", String::from_utf8_lossy(bytes));
        }
    }

    #[test]
    fn texts_and_numbers_are_no_pickles() {
        for bytes in [
            &b""[..],
            b"{\"a\": 1}",
            b"[1, 2]",
            b"(c) Somebody, 2026\nAll rights reserved.\n",
            b"confusion\nmatrix\nRows are truths.\n",
            b"0\n1\n2\n",
            b"# Model card\nIt reads digits.\n",
            b"License: MIT.\n",
            b"Notes.\n",
            b"label,count\n1,2\n",
            &[0; 64],
        ] {
            assert!(!is_pickle(bytes), "{:?}", String::from_utf8_lossy(bytes));
        }
    }

    #[test]
    fn a_pickle_anywhere_in_a_zip_is_found() {
        let entry = |mark: &[u8], before: usize, name: &str| {
            let mut bytes = mark.to_vec();
            bytes.resize(before, 0);
            let at = if before == 30 { 26 } else { 28 };
            bytes[at..at + 2].copy_from_slice(&(name.len() as u16).to_le_bytes());
            bytes.extend(name.as_bytes());
            bytes
        };
        for name in ["archive/data.pkl", "weights.JOBLIB"] {
            for (mark, before) in [(b"PK\x03\x04", 30), (b"PK\x01\x02", 46)] {
                let early = entry(mark, before, name);
                assert!(holds_pickle(&early));
                let late = [entry(b"PK\x03\x04", 30, "readme"), vec![b'P'; 100_000], early].concat();
                assert!(holds_pickle(&late), "{name}");
            }
        }
        assert!(!holds_pickle(&entry(b"PK\x03\x04", 30, "data.json")));
        assert!(!holds_pickle(b"PK\x03\x04"));
    }
}
