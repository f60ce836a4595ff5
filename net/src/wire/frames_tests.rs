//! Frames read back as they were, and hostile ones cost nothing.

use std::pin::Pin;
use std::task::{Context, Poll};

use libp2p::request_response::Codec as _;

use super::*;
use crate::wire::pinned;

/// Gives a few bytes, then would wait for ever; fails the test when it is read any further.
struct Trap<'a>(&'a [u8]);

impl AsyncRead for Trap<'_> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        assert!(!self.0.is_empty(), "the codec went on to read a refused payload");
        let len = self.0.len().min(buffer.len());
        buffer[..len].copy_from_slice(&self.0[..len]);
        self.0 = &self.0[len..];
        Poll::Ready(Ok(len))
    }
}

async fn request_bytes(request: Request) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    Codec.write_request(&PROTOCOL, &mut bytes, request).await?;
    Ok(bytes)
}

async fn answer_bytes(answer: Answer) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    Codec.write_response(&PROTOCOL, &mut bytes, answer).await?;
    Ok(bytes)
}

/// One request of every kind, small enough to be pinned.
fn requests() -> Vec<(&'static str, Request)> {
    let hash = Hash([9; 32]);
    let parts = vec![Part { hash, offset: 1 << 40, len: 77 }, Part { hash, offset: 0, len: 1 }];
    let request = |kind| Request { run: Hash([1; 32]), kind };
    vec![
        ("request-message", request(RequestKind::Message(Bytes::from_static(b"hello")))),
        ("request-blobs", request(RequestKind::Blobs(parts))),
        ("request-spec", request(RequestKind::Spec)),
        ("request-peers", request(RequestKind::Peers)),
        ("request-flush", request(RequestKind::Flush)),
    ]
}

/// One answer of every kind, small enough to be pinned.
fn answers() -> Vec<(&'static str, Answer)> {
    let (bytes, about) = (Bytes::from_static(b"some bytes"), Bytes::from_static(b"about"));
    let parts = vec![Some(bytes.clone()), None, Some(Bytes::new())];
    vec![
        ("answer-ack", Answer::Ack),
        ("answer-parts", Answer::Parts(parts)),
        ("answer-spec", Answer::Spec { spec: bytes.clone(), about }),
        ("answer-peers", Answer::Peers(bytes)),
        ("answer-not-found", Answer::NotFound),
        ("answer-busy", Answer::Busy),
        ("answer-other-run", Answer::OtherRun),
    ]
}

#[tokio::test]
async fn the_bytes_of_every_frame_are_pinned() {
    let mut all = Vec::new();
    for (name, request) in requests() {
        all.push((name, request_bytes(request).await.unwrap()));
    }
    for (name, answer) in answers() {
        all.push((name, answer_bytes(answer).await.unwrap()));
    }
    pinned::check("frames.txt", &all);
}

#[tokio::test]
async fn requests_read_back_as_they_were() {
    let part = |len| Part { hash: Hash([9; 32]), offset: 0, len };
    let full = RequestKind::Blobs(vec![part(77), part(MAX_CHUNK as u32 - 77)]);
    let full = Request { run: Hash([1; 32]), kind: full };
    for request in requests().into_iter().map(|(_, it)| it).chain([full]) {
        let bytes = request_bytes(request.clone()).await.unwrap();
        let read = Codec.read_request(&PROTOCOL, &mut bytes.as_slice()).await.unwrap();
        assert_eq!(read, request);
    }
}

#[tokio::test]
async fn answers_read_back_as_they_were() {
    let part = |len| Some(Bytes::from(vec![5; len]));
    let full = Answer::Parts(vec![part(MAX_CHUNK - 7), None, part(7), part(0)]);
    let more = [full, Answer::Parts(Vec::new())];
    for answer in answers().into_iter().map(|(_, it)| it).chain(more) {
        let bytes = answer_bytes(answer.clone()).await.unwrap();
        let read = Codec.read_response(&PROTOCOL, &mut bytes.as_slice()).await.unwrap();
        assert_eq!(read, answer);
    }
}

#[tokio::test]
async fn an_oversize_message_is_refused_by_its_length() {
    let mut frame = vec![0; 33];
    frame.extend_from_slice(&u32::try_from(MAX_MESSAGE + 1).unwrap().to_be_bytes());
    let error = Codec.read_request(&PROTOCOL, &mut Trap(&frame)).await.unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::InvalidData);
}

#[tokio::test]
async fn oversize_answers_are_refused_by_their_length() {
    let after_spec = [2, 0, 0, 0, 0];
    for (start, max) in
        [(&[1, 1][..], MAX_CHUNK), (&[2], MAX_SPEC), (&after_spec, MAX_ABOUT), (&[3], MAX_MESSAGE)]
    {
        let mut frame = start.to_vec();
        frame.extend_from_slice(&u32::try_from(max + 1).unwrap().to_be_bytes());
        let error = Codec.read_response(&PROTOCOL, &mut Trap(&frame)).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidData);
    }
}

#[tokio::test]
async fn too_many_parts_or_bytes_at_once_are_refused() {
    let count = u8::try_from(MAX_PARTS + 1).unwrap();
    let error = Codec.read_response(&PROTOCOL, &mut Trap(&[1, count])).await.unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::InvalidData);
    let mut frame = [&[1][..], &[0; 32], &[count]].concat();
    let error = Codec.read_request(&PROTOCOL, &mut Trap(&frame)).await.unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::InvalidData);
    frame[33] = 2;
    for len in [MAX_CHUNK as u32, 1] {
        frame.extend_from_slice(&[0; 40]);
        frame.extend_from_slice(&len.to_be_bytes());
    }
    let error = Codec.read_request(&PROTOCOL, &mut Trap(&frame)).await.unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::InvalidData);
    let whole = Bytes::from(vec![0; MAX_CHUNK]);
    let parts = vec![Some(whole), Some(Bytes::from_static(b"x"))];
    assert!(answer_bytes(Answer::Parts(parts)).await.is_err());
}

#[tokio::test]
async fn a_cut_or_unknown_frame_is_an_error() {
    let whole = answer_bytes(Answer::Parts(vec![Some(Bytes::from_static(b"abc"))])).await.unwrap();
    for len in 0..whole.len() {
        assert!(Codec.read_response(&PROTOCOL, &mut &whole[..len]).await.is_err());
    }
    assert!(Codec.read_response(&PROTOCOL, &mut [200_u8].as_slice()).await.is_err());
    assert!(Codec.read_request(&PROTOCOL, &mut [200_u8; 40].as_slice()).await.is_err());
}

#[tokio::test]
async fn we_do_not_write_what_others_would_refuse() {
    let large = Bytes::from(vec![0; MAX_CHUNK + 1]);
    assert!(answer_bytes(Answer::Parts(vec![Some(large.clone())])).await.is_err());
    let request = Request { run: Hash([0; 32]), kind: RequestKind::Message(large) };
    assert!(request_bytes(request).await.is_err());
}
