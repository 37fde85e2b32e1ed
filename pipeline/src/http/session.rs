//! Proofs that somebody has the token.
//!
//! In: the token, and what a request brings. Out: whether that is it, and cookies that prove it for a while without holding it.
//! Invariant: nothing is stored; a comparison takes the same time whatever differs; a cookie says nothing about the token to whom
//! cannot guess it. Pure: time comes in as an argument.

use std::fmt;

use hmac::{Hmac, Mac};
use sha2::Sha256;

/// A session's length in seconds: half a day.
pub(super) const LASTS_S: u64 = 12 * 3_600;
/// What a session's code is of, so that it is no code for anything else.
const PURPOSE: &[u8] = b"facestream session until ";

/// HMAC-SHA-256 (RFC 2104) keyed with the token.
#[derive(Clone)]
pub(super) struct Sessions(Hmac<Sha256>);

impl fmt::Debug for Sessions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Sessions")
    }
}

impl Sessions {
    pub(super) fn new(token: &str) -> Self {
        Self(keyed(token.as_bytes()))
    }

    /// Whether `given` is the token. Two codes of the same text are compared, one for each key.
    pub(super) fn is_token(&self, given: &[u8]) -> bool {
        let code = |mac: Hmac<Sha256>| mac.chain_update(b"facestream token");
        code(self.0.clone()).verify(&code(keyed(given)).finalize().into_bytes()).is_ok()
    }

    /// A session that begins at `now`, in seconds since 1970: until when it lasts, and the code for that.
    pub(super) fn begin(&self, now: u64) -> String {
        let until = now + LASTS_S;
        let code = self.code(until).finalize().into_bytes();
        format!("{until}.{}", hex(&code))
    }

    /// Whether `session` was begun with this token and lasts yet.
    pub(super) fn is_valid(&self, session: &str, now: u64) -> bool {
        let Some((until, code)) = session.split_once('.') else { return false };
        let Some((until, code)) = until.parse().ok().zip(unhex(code)) else { return false };
        now < until && until <= now + LASTS_S && self.code(until).verify_slice(&code).is_ok()
    }

    fn code(&self, until: u64) -> Hmac<Sha256> {
        self.0.clone().chain_update(PURPOSE).chain_update(until.to_be_bytes())
    }
}

fn keyed(key: &[u8]) -> Hmac<Sha256> {
    Hmac::new_from_slice(key).expect("HMAC takes a key of any length")
}

fn hex(bytes: &[u8]) -> String {
    let digit = |value: u8| char::from_digit(value.into(), 16).unwrap_or_default();
    bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect()
}

/// `None` for what is not 64 hexadecimal digits.
fn unhex(text: &str) -> Option<[u8; 32]> {
    let digits = text.as_bytes();
    let mut bytes = [0; 32];
    if digits.len() != 64 || !digits.iter().all(u8::is_ascii_hexdigit) {
        return None;
    }
    for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
        *byte = u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOKEN: &str = "a token of some length";
    const NOW: u64 = 1_800_000_000;

    #[test]
    fn only_the_token_is_the_token() {
        let sessions = Sessions::new(TOKEN);
        assert!(sessions.is_token(TOKEN.as_bytes()));
        for wrong in ["", "a token of some lengt", "a token of some length ", "A token of some length"] {
            assert!(!sessions.is_token(wrong.as_bytes()), "{wrong:?}");
        }
        assert!(!sessions.is_token(&[0xff; 40]));
    }

    #[test]
    fn a_session_lasts_half_a_day_and_is_the_tokens_own() {
        let sessions = Sessions::new(TOKEN);
        let session = sessions.begin(NOW);
        assert!(session.starts_with("1800043200."), "{session}");
        assert!(sessions.is_valid(&session, NOW) && sessions.is_valid(&session, NOW + 43_199));
        assert!(!sessions.is_valid(&session, NOW + 43_200));
        assert!(!Sessions::new("another token, just as long").is_valid(&session, NOW));
        assert!(Sessions::new(TOKEN).is_valid(&session, NOW), "of another process with the same token as well");
    }

    #[test]
    fn a_session_that_was_tampered_with_is_none() {
        let sessions = Sessions::new(TOKEN);
        let session = sessions.begin(NOW);
        let longer = session.replace("1800043200", "1800043201");
        let flipped = if session.ends_with('0') { format!("{}1", &session[..74]) } else { format!("{}0", &session[..74]) };
        for wrong in [longer.as_str(), &flipped, &session[..74], "", ".", "1800043200.", &session[11..], &format!("{session}00")]
        {
            assert!(!sessions.is_valid(wrong, NOW), "{wrong}");
        }
    }

    /// RFC 4231, test case 2.
    #[test]
    fn the_code_is_hmac_sha_256() {
        let code = keyed(b"Jefe").chain_update(b"what do ya want for nothing?").finalize().into_bytes();
        assert_eq!(hex(&code), "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
        assert_eq!(unhex(&hex(&code)), Some(code.into()));
    }
}
