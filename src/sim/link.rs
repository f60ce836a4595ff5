//! The link of a machine: bandwidth, delay and loss of its cable or radio.
//!
//! Rule: connections are TCP, so what is lost is late and not gone, and a lossy link is slower than its
//! cable.

use std::str::FromStr;

use ffp2p_proto::sim::Weather;

/// A machine's link to all others, both directions alike.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Link {
    /// Megabits per second.
    pub mbit: f64,
    /// Milliseconds from one machine to another, one way.
    pub ms: f64,
    /// Lost packets, percent.
    pub loss: f64,
}

/// Fraction of the bytes on a cable that are payload.
const PAYLOAD: f64 = 0.94;

/// Payload of a packet, bytes.
const PACKET: f64 = 1448.0;

/// Time after which a lost end of a message is sent again, ms.
const AGAIN_MS: u64 = 200;

/// Delay of any link, at least, ms: two kernels and a switch.
const LEAST_MS: f64 = 0.1;

impl Link {
    const LAN: Self = Self { mbit: 1000.0, ms: LEAST_MS, loss: 0.0 };
    const WIFI: Self = Self { mbit: 100.0, ms: 3.0, loss: 0.1 };

    /// Bytes per millisecond of one connection: those of the cable, or those that TCP reaches with its
    /// losses by the rule of Mathis et al. (1997), whichever is less.
    fn bytes_per_ms(self) -> f64 {
        let cable = self.mbit * 125.0 * PAYLOAD;
        let round_trip = 2.0 * self.ms.max(LEAST_MS);
        let lossy = PACKET / round_trip * 1.22 / libm::sqrt(self.loss / 100.0);
        cable.min(lossy).max(1.0)
    }

    /// The link for the simulator, next to `others` bytes per second of other traffic, in and out; `None`
    /// if that leaves nothing.
    pub(super) fn weather_next_to(self, others: f64) -> Option<Weather> {
        let us = (self.ms.max(LEAST_MS) * 1e3) as u64;
        let left = self.bytes_per_ms() - others / 2.0 / 1e3;
        (left >= 1.0).then_some(Weather {
            latency: (us, us),
            jitter: us / 10,
            stray: (self.loss * 10.0) as u64,
            stray_ms: AGAIN_MS,
            bytes_per_ms: left as u64,
            ..Weather::CALM
        })
    }
}

/// Text that does not describe a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "write lan, wifi or MBIT/MS[/LOSS]: megabits a second (0.1 to 400000), milliseconds one way (0 to 1000), packets lost in percent (0 to 20), as in 100/3/0.1"
)]
pub struct LinkError;

impl FromStr for Link {
    type Err = LinkError;

    fn from_str(text: &str) -> Result<Self, LinkError> {
        if text == "lan" {
            return Ok(Self::LAN);
        }
        if text == "wifi" {
            return Ok(Self::WIFI);
        }
        let parts: Result<Vec<f64>, _> = text.split('/').map(f64::from_str).collect();
        let link = match parts.as_deref() {
            Ok(&[mbit, ms]) => Self { mbit, ms, loss: 0.0 },
            Ok(&[mbit, ms, loss]) => Self { mbit, ms, loss },
            _ => return Err(LinkError),
        };
        let fits = (0.1..=400_000.0).contains(&link.mbit)
            && (0.0..=1_000.0).contains(&link.ms)
            && (0.0..=20.0).contains(&link.loss);
        if fits { Ok(link) } else { Err(LinkError) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_is_a_name_or_numbers() {
        assert_eq!("lan".parse(), Ok(Link::LAN));
        assert_eq!("100/3/0.1".parse(), Ok(Link::WIFI));
        assert_eq!("50/2".parse(), Ok(Link { mbit: 50.0, ms: 2.0, loss: 0.0 }));
        for wrong in ["", "LAN", "5", "1/2/3/4", "0/1", "1/-1", "9/9/50", "nan/1", "inf/1", "a/b"] {
            assert_eq!(wrong.parse::<Link>(), Err(LinkError), "{wrong}");
        }
    }

    #[test]
    fn loss_narrows_a_way_and_makes_some_messages_late() {
        let clean = Link { loss: 0.0, ..Link::WIFI };
        assert!(Link::WIFI.bytes_per_ms() < clean.bytes_per_ms());
        let of = |link: Link| link.weather_next_to(0.0);
        let stray = |link| of(link).map(|weather| weather.stray);
        assert_eq!((stray(clean), stray(Link::WIFI)), (Some(0), Some(1)));
        assert_eq!(of(Link::LAN).map(|weather| weather.latency), Some((100, 100)));
        assert_eq!(Link::WIFI.weather_next_to(1e9), None);
    }
}
