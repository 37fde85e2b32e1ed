//! `multipart/x-mixed-replace`, as cameras send it.
//!
//! In: bytes in chunks of any size. Out: the parts' bodies, in order. Invariant: no more is kept than the largest part that is
//! allowed; whatever a camera sends, the next proper delimiter begins a part again.
//!
//! Cameras take the format lightly: the boundary in the header may have the delimiter's dashes already or be missing, lines may
//! end in a lone line feed, `Content-Length` may be missing or wrong. All of that is read here.

/// Longest headers of a part in bytes.
const MOST_HEADERS: usize = 16 << 10;
/// A boundary has 70 characters at most (RFC 2046), so that a longer line is no delimiter; twice that for those who know better.
const LONGEST_DELIMITER: usize = 200;

/// What comes out of a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Part {
    /// A body.
    Whole {
        /// What it holds.
        body: Vec<u8>,
        /// When it was captured, in nanoseconds since the Unix epoch, where the camera says so (`X-Timestamp`, in seconds).
        captured_ns: Option<i64>,
    },
    /// A body that is larger than allowed, and was thrown away.
    TooLarge,
    /// The camera has said that no more parts come.
    End,
}

/// The stream is not what it says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a part's headers are longer than {} KiB", MOST_HEADERS >> 10)]
pub(super) struct Malformed;

enum State {
    /// On the way to the next delimiter.
    Between,
    Headers,
    Body {
        length: Option<usize>,
        captured_ns: Option<i64>,
    },
    Ended,
}

/// A delimiter that was found.
struct Delimiter {
    /// Where its line begins.
    at: usize,
    /// Where the next line begins.
    end: usize,
    is_last: bool,
}

/// The parts of one stream.
pub(super) struct Parts {
    /// Without leading dashes; `None` until the first delimiter has shown it.
    boundary: Option<Vec<u8>>,
    most_bytes: usize,
    buffer: Vec<u8>,
    /// Where in `buffer` the first line begins that has not been looked at.
    line: usize,
    /// Before this no line ends from `line` on.
    searched: usize,
    state: State,
    /// False once a part was longer than its `Content-Length`.
    trusts_length: bool,
    /// Whether what comes now follows a part that said how long it is.
    is_after_length: bool,
}

impl Parts {
    /// A stream with this `Content-Type`, whose parts have at most `most_bytes`.
    pub(super) fn new(content_type: &str, most_bytes: usize) -> Self {
        Self {
            boundary: boundary(content_type),
            most_bytes,
            buffer: Vec::new(),
            line: 0,
            searched: 0,
            state: State::Between,
            trusts_length: true,
            is_after_length: false,
        }
    }

    /// Takes what has come.
    pub(super) fn push(&mut self, chunk: &[u8]) {
        self.buffer.extend_from_slice(chunk);
    }

    /// The next part, as soon as all of it has come.
    pub(super) fn next(&mut self) -> Result<Option<Part>, Malformed> {
        loop {
            match self.state {
                State::Ended => return Ok(Some(Part::End)),
                State::Between => {
                    let Some(delimiter) = self.find() else {
                        self.forget();
                        return Ok(None);
                    };
                    self.note_garbage(delimiter.at);
                    self.is_after_length = false;
                    self.state = if delimiter.is_last { State::Ended } else { State::Headers };
                    self.drop_front(delimiter.end);
                }
                State::Headers => {
                    if !self.headers()? {
                        return Ok(None);
                    }
                    if matches!(self.state, State::Body { length: Some(length), .. } if length > self.most_bytes) {
                        self.state = State::Between;
                        return Ok(Some(Part::TooLarge));
                    }
                }
                State::Body { length: Some(length), captured_ns } => {
                    if self.buffer.len() < length {
                        return Ok(None);
                    }
                    let body = self.buffer[..length].to_vec();
                    (self.state, self.is_after_length) = (State::Between, true);
                    self.drop_front(length);
                    if !body.is_empty() {
                        return Ok(Some(Part::Whole { body, captured_ns }));
                    }
                }
                State::Body { length: None, captured_ns } => match self.find() {
                    Some(Delimiter { at, .. }) => {
                        let body = self.buffer[..at].strip_suffix(b"\n").unwrap_or_default();
                        let body = body.strip_suffix(b"\r").unwrap_or(body).to_vec();
                        self.state = State::Between;
                        self.drop_front(at);
                        let part = if body.len() > self.most_bytes { Part::TooLarge } else { Part::Whole { body, captured_ns } };
                        if part != (Part::Whole { body: Vec::new(), captured_ns }) {
                            return Ok(Some(part));
                        }
                    }
                    None if self.buffer.len() > self.most_bytes + LONGEST_DELIMITER => {
                        self.state = State::Between;
                        return Ok(Some(Part::TooLarge));
                    }
                    None => return Ok(None),
                },
            }
        }
    }

    /// The next delimiter from `line` on, whose whole line has come. Leaves `line` where to go on.
    fn find(&mut self) -> Option<Delimiter> {
        loop {
            let from = self.searched.max(self.line);
            let found = self.buffer[from..].iter().position(|byte| *byte == b'\n').map(|at| from + at);
            let text = &self.buffer[self.line..found.unwrap_or(self.buffer.len())];
            if let Some(is_last) = judge(text, found.is_some(), &mut self.boundary) {
                let end = found.map_or(self.buffer.len(), |at| at + 1);
                return Some(Delimiter { at: self.line, end, is_last });
            }
            self.searched = self.buffer.len();
            self.line = found? + 1;
            self.searched = self.line;
        }
    }

    /// Reads the headers if they are all there.
    fn headers(&mut self) -> Result<bool, Malformed> {
        let (mut length, mut captured_ns, mut at) = (None, None, 0);
        while let Some(end) = self.buffer[at..].iter().position(|byte| *byte == b'\n') {
            let line = self.buffer[at..at + end].trim_ascii();
            at += end + 1;
            if line.is_empty() {
                let length = length.filter(|_| self.trusts_length);
                self.state = State::Body { length, captured_ns };
                self.drop_front(at);
                return Ok(true);
            }
            let line = String::from_utf8_lossy(line);
            let Some((name, value)) = line.split_once(':') else { continue };
            match name.trim().to_ascii_lowercase().as_str() {
                "content-length" => length = value.trim().parse().ok(),
                "x-timestamp" => captured_ns = seconds(value.trim()),
                _ => {}
            }
        }
        if self.buffer.len() > MOST_HEADERS { Err(Malformed) } else { Ok(false) }
    }

    /// Text before a delimiter is what the last `Content-Length` has left out.
    fn note_garbage(&mut self, until: usize) {
        self.trusts_length &= !self.is_after_length || self.buffer[..until].iter().all(u8::is_ascii_whitespace);
    }

    /// Throws away what cannot be part of a delimiter any more.
    fn forget(&mut self) {
        self.note_garbage(self.line);
        self.drop_front(self.line);
        if self.buffer.len() > LONGEST_DELIMITER {
            self.note_garbage(self.buffer.len());
            self.buffer.clear();
            self.buffer.push(b'x'); // what follows on this line is none either
        }
    }

    fn drop_front(&mut self, bytes: usize) {
        self.buffer.drain(..bytes);
        (self.line, self.searched) = (0, 0);
    }
}

/// Whether a line is a delimiter, and if so whether it is the last, which may be cut off behind its dashes. Where the boundary is
/// not known yet, the first line with dashes shows it.
fn judge(line: &[u8], is_whole: bool, boundary: &mut Option<Vec<u8>>) -> Option<bool> {
    let line = &line[..line.len().min(LONGEST_DELIMITER)];
    let dashes = line.iter().take_while(|byte| **byte == b'-').count();
    if dashes < 2 {
        return None;
    }
    let text = line[dashes..].trim_ascii_end();
    if boundary.is_none() && is_whole && !text.is_empty() {
        *boundary = Some(text.to_vec());
    }
    match text.strip_prefix(boundary.as_deref()?)? {
        b"--" => Some(true),
        b"" if is_whole => Some(false),
        _ => None,
    }
}

/// The boundary that a `Content-Type` names, without the dashes that some cameras put there.
fn boundary(content_type: &str) -> Option<Vec<u8>> {
    let parameters = content_type.split(';').skip(1).filter_map(|parameter| parameter.split_once('='));
    let (_, value) = parameters.into_iter().find(|(name, _)| name.trim().eq_ignore_ascii_case("boundary"))?;
    let boundary = value.trim().trim_matches('"').trim_start_matches('-');
    (!boundary.is_empty()).then(|| boundary.as_bytes().to_vec())
}

/// Seconds since the Unix epoch as nanoseconds, exactly: a float would lose the last digits.
fn seconds(text: &str) -> Option<i64> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    if !fraction.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let digits: String = fraction.chars().chain("000000000".chars()).take(9).collect();
    whole.parse::<u32>().ok().map(|whole| i64::from(whole) * 1_000_000_000 + digits.parse::<i64>().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Everything that comes out of `stream`, given in chunks of these sizes over and over.
    fn parts(content_type: &str, most_bytes: usize, stream: &[u8], sizes: &[usize]) -> Result<Vec<Part>, Malformed> {
        let mut parts = Parts::new(content_type, most_bytes);
        let (mut found, mut rest, mut sizes) = (Vec::new(), stream, sizes.iter().cycle());
        while !rest.is_empty() {
            let (chunk, others) = rest.split_at(rest.len().min(*sizes.next().unwrap()));
            parts.push(chunk);
            rest = others;
            while let Some(part) = parts.next()? {
                if part == Part::End {
                    found.push(part);
                    return Ok(found);
                }
                found.push(part);
            }
            assert!(parts.buffer.len() <= most_bytes + chunk.len() + MOST_HEADERS, "{} bytes are kept", parts.buffer.len());
        }
        Ok(found)
    }

    fn whole(body: &[u8]) -> Part {
        Part::Whole { body: body.to_vec(), captured_ns: None }
    }

    const MIXED: &str = "multipart/x-mixed-replace; boundary=frame";

    #[test]
    fn cameras_of_every_kind_are_read() {
        // A body with line feeds, dashes and half a delimiter in it.
        let body: &[u8] = b"\xFF\xD8\r\n--fram\n--framed\n\n-- \xFF\xD9";
        let stream = |lines: &[&[u8]]| lines.concat();
        let length = format!("Content-Length: {}", body.len()).into_bytes();
        let by_the_book = [
            b"preamble\r\n--frame\r\nContent-Type: image/jpeg\r\n".as_slice(),
            &length,
            b"\r\n\r\n",
            body,
            b"\r\n--frame\r\ncontent-length:3\r\n\r\nabc\r\n--frame--\r\n",
        ];
        let by_the_book = stream(&by_the_book);
        let without_length = stream(&[b"--frame\r\n\r\n", body, b"\r\n--frame\r\nX: y\r\n\r\nabc\r\n--frame--"]);
        let line_feeds = stream(&[b"--frame\nX: y\n\n", body, b"\n--frame\n\nabc\n--frame--\n"]);
        let more_dashes = stream(&[b"----frame\r\n\r\n", body, b"\r\n----frame\r\n\r\nabc\r\n----frame--\r\n"]);
        for (content_type, stream) in [
            (MIXED, &by_the_book),
            (MIXED, &without_length),
            (MIXED, &line_feeds),
            ("multipart/x-mixed-replace;Boundary=\"frame\"; x=y", &without_length),
            ("multipart/x-mixed-replace; boundary=--frame", &without_length),
            ("multipart/x-mixed-replace; boundary=--frame", &more_dashes),
            ("multipart/x-mixed-replace", &without_length),
        ] {
            for sizes in [&[1][..], &[7, 1, 3], &[100_000]] {
                let found = parts(content_type, 100, stream, sizes).unwrap();
                assert_eq!(found, [whole(body), whole(b"abc"), Part::End], "{content_type} in chunks of {sizes:?}");
            }
        }
    }

    #[test]
    fn a_part_too_large_is_thrown_away_and_the_next_is_read() {
        for headers in ["Content-Length: 5000\r\n", "", "Content-Length: 999999999999999999999\r\n"] {
            let large = format!("--frame\r\n{headers}\r\n{}\r\n--frame\r\n\r\nabc\r\n--frame\r\n", "x".repeat(5_000));
            for sizes in [&[1][..], &[64], &[100_000]] {
                let found = parts(MIXED, 1_000, large.as_bytes(), sizes).unwrap();
                assert_eq!(found, [Part::TooLarge, whole(b"abc")], "{headers:?} in chunks of {sizes:?}");
            }
        }
        let endless = format!("--frame\r\n{}", "X-Header: y\r\n".repeat(10_000));
        assert_eq!(parts(MIXED, 1_000, endless.as_bytes(), &[1_000]), Err(Malformed));
    }

    #[test]
    fn a_content_length_that_proved_wrong_is_not_believed_again() {
        let part = "--frame\r\nContent-Length: 2\r\n\r\nabcdef\r\n";
        let found = parts(MIXED, 1_000, format!("{}--frame\r\n", part.repeat(3)).as_bytes(), &[5]).unwrap();
        assert_eq!(found, [whole(b"ab"), whole(b"abcdef"), whole(b"abcdef")]);
    }

    #[test]
    fn a_cameras_own_time_is_read_to_the_nanosecond() {
        let stamped = b"--frame\r\nX-Timestamp: 1795348799.000000042\r\n\r\nabc\r\n--frame\r\n";
        let captured_ns = Some(1_795_348_799_000_000_042);
        assert_eq!(parts(MIXED, 100, stamped, &[9]).unwrap(), [Part::Whole { body: b"abc".to_vec(), captured_ns }]);
        assert_eq!(seconds("1.5"), Some(1_500_000_000));
        assert_eq!(seconds("7"), Some(7_000_000_000));
        for text in ["", "-1", "1.5e3", "soon", "99999999999999", "1.-5"] {
            assert_eq!(seconds(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn chunks_do_not_matter(
            bodies in prop::collection::vec((prop::collection::vec(prop::sample::select(b"-\r\nframe\xFF".to_vec()), 1..60), any::<bool>()), 1..6),
            sizes in prop::collection::vec(1_usize..50, 1..6),
        ) {
            // A line that reads like a delimiter cannot be told from one where no length is given.
            let holds_delimiter = |body: &[u8]| body.windows(7).any(|bytes| bytes == b"--frame");
            let mut stream = Vec::new();
            let mut expected = Vec::new();
            for (body, has_length) in bodies.iter().filter(|(body, _)| !holds_delimiter(body)) {
                stream.extend_from_slice(b"--frame\r\n");
                if *has_length {
                    stream.extend_from_slice(format!("Content-Length: {}\r\n", body.len()).as_bytes());
                }
                stream.extend_from_slice(b"\r\n");
                stream.extend_from_slice(body);
                stream.extend_from_slice(b"\r\n");
                expected.push(whole(body));
            }
            stream.extend_from_slice(b"--frame--");
            expected.push(Part::End);
            prop_assert_eq!(parts(MIXED, 1_000, &stream, &sizes).unwrap(), expected);
        }

        #[test]
        fn whatever_comes_nothing_breaks(stream in prop::collection::vec(prop::sample::select(b"-\r\nframe:Content-Length 9".to_vec()), 0..400), size in 1_usize..50) {
            let _ = parts(MIXED, 100, &stream, &[size]);
            let _ = parts("multipart/x-mixed-replace", 100, &stream, &[size]);
        }
    }
}
