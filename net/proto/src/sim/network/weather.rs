//! The quality of a network: latency, loss, repeats, strays, bandwidth.
//!
//! Rule: plain data with its units; how it is carried out belongs to the cables.

/// The quality of a network.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Weather {
    /// Copies lost, per mille.
    pub loss: u64,
    /// Messages that arrive twice, per mille.
    pub repeats: u64,
    /// Bounds of the latencies of links, microseconds; each link has one of its own.
    pub latency: (u64, u64),
    /// Every copy is later by up to this much, microseconds: so copies overtake each other.
    pub jitter: u64,
    /// Copies that come very late, per mille.
    pub stray: u64,
    /// The most by which a stray copy is late, ms.
    pub stray_ms: u64,
    /// Bytes that a machine's cable carries in a millisecond each way, one blob after the other; 0
    /// for no limit.
    pub bytes_per_ms: u64,
}

impl Weather {
    /// A good LAN.
    pub const CALM: Self = Self {
        loss: 0,
        repeats: 0,
        latency: (1_000, 3_000),
        jitter: 2_000,
        stray: 0,
        stray_ms: STRAY_MS,
        bytes_per_ms: 0,
    };
}

/// The most by which a stray copy of a message is late, ms, in bad weather.
pub(crate) const STRAY_MS: u64 = 8_000;
