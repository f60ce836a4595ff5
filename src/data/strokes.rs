//! The skeletons of the ten digits: how people move a pen.
//!
//! A digit has several styles, a style is a few strokes, and a stroke is a list of points a smooth
//! curve runs through. A point written twice is a corner: the curve stops there and begins again.
//!
//! Rule: only shape, in percent of the digit's box (x to the right, y down); size, slant, wobble
//! and ink are decided elsewhere.

/// A pen movement: points in percent of the box.
pub(super) type Stroke = &'static [(i8, i8)];

/// One way to write a digit.
pub(super) type Style = &'static [Stroke];

/// The ways to write `digit` (0 to 9), each as likely as the others.
pub(super) fn styles(digit: u8) -> &'static [Style] {
    STYLES[usize::from(digit)]
}

const STYLES: [&[Style]; 10] = [ZERO, ONE, TWO, THREE, FOUR, FIVE, SIX, SEVEN, EIGHT, NINE];

const ZERO: &[Style] = &[
    // an even oval
    &[&[(50, 0), (18, 14), (3, 50), (18, 87), (50, 100), (82, 87), (97, 50), (82, 14), (50, 0)]],
    // begun at the upper right, its ends crossing
    &[&[(66, 8), (36, 2), (10, 34), (12, 78), (42, 100), (80, 86), (94, 48), (78, 12), (40, 1)]],
    // narrow
    &[&[(56, 0), (30, 20), (22, 58), (36, 94), (56, 100), (76, 76), (80, 34), (66, 4), (52, 1)]],
];

const ONE: &[Style] = &[
    // a bare stroke
    &[&[(50, 0), (51, 50), (50, 100)]],
    // leaning
    &[&[(64, 0), (50, 50), (38, 100)]],
    // with a flag
    &[&[(26, 24), (54, 0), (54, 0), (53, 50), (52, 100)]],
    // with a flag and a base
    &[&[(28, 22), (52, 0), (52, 0), (51, 50), (51, 98)], &[(24, 99), (50, 99), (78, 98)]],
];

const TWO: &[Style] = &[
    // a corner at the foot
    &[&[
        (10, 24),
        (30, 2),
        (64, 1),
        (86, 22),
        (74, 50),
        (38, 76),
        (6, 98),
        (6, 98),
        (50, 97),
        (95, 97),
    ]],
    // a loop at the foot
    &[&[
        (12, 20),
        (38, 0),
        (74, 6),
        (84, 30),
        (64, 62),
        (30, 92),
        (9, 93),
        (15, 79),
        (40, 84),
        (68, 98),
        (96, 90),
    ]],
    // angular, like a z
    &[&[(8, 12), (46, 1), (80, 8), (80, 32), (48, 64), (10, 97), (10, 97), (52, 93), (92, 98)]],
];

const THREE: &[Style] = &[
    // two bows
    &[&[
        (10, 14),
        (44, 0),
        (80, 14),
        (74, 38),
        (38, 48),
        (38, 48),
        (78, 58),
        (88, 80),
        (52, 100),
        (8, 88),
    ]],
    // a flat top
    &[&[
        (12, 3),
        (48, 2),
        (86, 2),
        (86, 2),
        (46, 40),
        (46, 40),
        (84, 54),
        (86, 84),
        (48, 100),
        (8, 90),
    ]],
    // a small loop in the middle
    &[&[
        (14, 12),
        (50, 0),
        (80, 18),
        (60, 41),
        (36, 50),
        (44, 42),
        (74, 54),
        (88, 76),
        (66, 98),
        (30, 99),
        (8, 86),
    ]],
];

const FOUR: &[Style] = &[
    // open, two strokes
    &[&[(24, 2), (16, 30), (9, 58), (9, 58), (50, 59), (96, 56)], &[(72, 22), (71, 60), (69, 100)]],
    // closed, one stroke
    &[&[(70, 100), (71, 50), (72, 0), (72, 0), (40, 34), (6, 68), (6, 68), (52, 67), (97, 66)]],
    // open, rounded
    &[&[(16, 4), (12, 38), (30, 56), (62, 53), (84, 42)], &[(86, 2), (83, 50), (78, 100)]],
];

const FIVE: &[Style] = &[
    // the bar written last
    &[
        &[(26, 3), (22, 42), (22, 42), (54, 36), (88, 58), (84, 86), (46, 100), (8, 90)],
        &[(26, 3), (58, 2), (92, 0)],
    ],
    // one stroke
    &[&[
        (88, 2),
        (58, 4),
        (28, 4),
        (28, 4),
        (20, 46),
        (20, 46),
        (58, 40),
        (90, 64),
        (76, 93),
        (40, 100),
        (6, 88),
    ]],
    // rounded, like an s
    &[&[(86, 5), (48, 2), (24, 16), (26, 38), (62, 49), (88, 70), (70, 95), (34, 100), (8, 88)]],
];

const SIX: &[Style] = &[
    // a bent stem
    &[&[(76, 4), (40, 18), (12, 58), (20, 90), (52, 100), (84, 86), (82, 62), (52, 50), (16, 70)]],
    // a straight stem
    &[&[(64, 0), (36, 34), (14, 72), (34, 99), (74, 94), (86, 70), (60, 55), (22, 76)]],
    // a small low belly
    &[&[(52, 0), (20, 38), (8, 76), (32, 100), (68, 95), (76, 74), (52, 61), (14, 84)]],
];

const SEVEN: &[Style] = &[
    // plain
    &[&[(6, 4), (50, 3), (94, 4), (94, 4), (64, 48), (42, 100)]],
    // with a bar
    &[&[(8, 4), (50, 3), (92, 4), (92, 4), (62, 48), (42, 100)], &[(26, 53), (54, 51), (86, 50)]],
    // with a hook at the left
    &[&[(6, 22), (10, 4), (10, 4), (50, 4), (92, 2), (92, 2), (62, 46), (50, 100)]],
    // rounded
    &[&[(4, 10), (46, 3), (88, 6), (80, 32), (56, 64), (46, 100)]],
];

const EIGHT: &[Style] = &[
    // one stroke, crossing in the middle
    &[&[
        (80, 14),
        (48, 0),
        (18, 18),
        (42, 44),
        (80, 66),
        (78, 92),
        (44, 100),
        (12, 84),
        (26, 60),
        (62, 40),
        (84, 18),
        (66, 3),
    ]],
    // one ring above another
    &[
        &[(52, 0), (24, 8), (22, 34), (50, 46), (78, 34), (76, 8), (50, 0)],
        &[(50, 46), (16, 58), (12, 88), (50, 100), (88, 88), (84, 58), (50, 46)],
    ],
    // its ends left open
    &[&[
        (90, 10),
        (52, 1),
        (18, 16),
        (36, 42),
        (76, 64),
        (78, 91),
        (44, 100),
        (14, 86),
        (30, 60),
        (70, 30),
        (80, 20),
    ]],
];

const NINE: &[Style] = &[
    // a straight stem
    &[&[
        (82, 18),
        (54, 0),
        (18, 14),
        (16, 40),
        (48, 52),
        (78, 34),
        (85, 8),
        (85, 8),
        (83, 54),
        (78, 100),
    ]],
    // a bent tail
    &[&[
        (82, 22),
        (52, 0),
        (16, 18),
        (22, 46),
        (56, 52),
        (82, 26),
        (88, 52),
        (76, 86),
        (44, 100),
        (16, 90),
    ]],
    // leaning
    &[&[(78, 12), (42, 3), (14, 26), (30, 48), (64, 38), (83, 8), (83, 8), (68, 54), (48, 100)]],
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_digit_has_styles_inside_its_box() {
        for digit in 0..10 {
            assert!(styles(digit).len() >= 3, "digit {digit}");
            for stroke in styles(digit).iter().flat_map(|style| style.iter()) {
                assert!(stroke.len() >= 3, "digit {digit}");
                assert!(
                    stroke.iter().all(|p| (0..=100).contains(&p.0) && (0..=100).contains(&p.1))
                );
            }
        }
    }
}
