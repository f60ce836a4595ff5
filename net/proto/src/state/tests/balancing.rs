//! Claims and hand-overs, as another peer hears of them; a peer that hands on what cannot be read.
