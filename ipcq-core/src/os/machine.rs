//! This machine and this boot of it: what a queue's header records, so that a queue of an earlier boot, or of
//! processes whose numbers mean something else, is refused by name.

use std::io;
use std::sync::OnceLock;

use nix::errno::Errno;
use nix::libc;

/// The number that the kernel drew when it started.
///
/// # Errors
/// When `/proc` is not there.
pub fn boot_id() -> io::Result<[u8; 16]> {
    static BOOT_ID: OnceLock<[u8; 16]> = OnceLock::new();
    if let Some(id) = BOOT_ID.get() {
        return Ok(*id);
    }
    let text = std::fs::read_to_string("/proc/sys/kernel/random/boot_id")?;
    let id = parse_uuid(text.trim()).ok_or_else(|| io::Error::from(Errno::EPROTO))?;
    Ok(*BOOT_ID.get_or_init(|| id))
}

/// The process namespace of this process. Not cached: the child of a fork may be in another one.
///
/// # Errors
/// When `/proc` is not there.
pub fn pid_namespace() -> io::Result<u64> {
    Ok(nix::sys::stat::stat(c"/proc/self/ns/pid")?.st_ino)
}

/// A number that nobody can guess and nobody else draws.
///
/// # Errors
/// When the kernel gives none.
pub fn random_u128() -> io::Result<u128> {
    let mut bytes = [0_u8; 16];
    loop {
        // SAFETY: the kernel writes at most as many bytes as the array has.
        let got = unsafe { libc::getrandom(bytes.as_mut_ptr().cast(), bytes.len(), 0) };
        // Up to 256 bytes come whole, or not at all.
        if usize::try_from(got) == Ok(bytes.len()) {
            return Ok(u128::from_ne_bytes(bytes));
        }
        let error = io::Error::last_os_error();
        if error.kind() != io::ErrorKind::Interrupted {
            return Err(error);
        }
    }
}

fn parse_uuid(text: &str) -> Option<[u8; 16]> {
    let digits: Vec<u8> = text.bytes().filter(|&byte| byte != b'-').collect();
    let digits = str::from_utf8(&digits).ok().filter(|digits| digits.len() == 32)?;
    u128::from_str_radix(digits, 16).ok().map(u128::to_be_bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_boot_does_not_change() -> io::Result<()> {
        assert_eq!(boot_id()?, boot_id()?);
        assert_ne!(boot_id()?, [0; 16]);
        Ok(())
    }

    #[test]
    fn a_boot_id_is_32_digits() {
        assert_eq!(parse_uuid("00000000-0000-0000-0000-0000000000ff").map(|id| id[15]), Some(255));
        assert_eq!(parse_uuid("00000000-0000-0000-0000-0000000000f"), None);
        assert_eq!(parse_uuid("g0000000-0000-0000-0000-0000000000ff"), None);
        assert_eq!(parse_uuid("\u{e9}0000000-0000-0000-0000-0000000000f"), None);
    }

    #[test]
    fn random_numbers_differ() -> io::Result<()> {
        assert_ne!(random_u128()?, random_u128()?);
        Ok(())
    }

    #[test]
    fn the_process_namespace_has_a_number() -> io::Result<()> {
        assert_ne!(pid_namespace()?, 0);
        Ok(())
    }
}
