//! The largest speed-up that a schedule allows, whatever the network.
//!
//! Rule: only the mathematics counts. A shard's chapters follow each other, whichever peers train their
//! branches, and a shard above waits for the shard below.

use ffp2p_proto::{Placement, Plan};

/// The largest speed-up of machines of these speeds over the first of them alone.
#[must_use]
pub fn ceiling(plan: &Plan, speeds: &[f64]) -> f64 {
    let shards: Vec<f64> = plan.shards().map(|shard| plan.cost(shard) as f64).collect();
    let (Some(&first), all) = (speeds.first(), shards.iter().sum::<f64>()) else { return 1.0 };
    let largest = shards.iter().copied().fold(0.0, f64::max);
    let fastest = speeds.iter().copied().fold(0.0, f64::max);
    let chapters = plan.chapters().max(1) as f64;
    let together = match plan.placement {
        Placement::Sequential => all / fastest,
        Placement::AllLayers | Placement::Federated => {
            // Chapters start when the first shard of the one before is done.
            let branches = f64::from(plan.branches);
            let useful = (branches * all / largest).ceil().min(speeds.len() as f64);
            let largest = largest / branches / fastest;
            let late = largest * ((useful / branches).ceil() - 1.0) / chapters;
            (all / speeds.iter().sum::<f64>()).max(largest) + late
        }
        Placement::SingleLayer => {
            // Online activations are read at once, refreshed ones a chapter later.
            let above = plan.layers.len().min(speeds.len()).saturating_sub(1);
            let late = if plan.refreshed { above as f64 / chapters } else { 0.0 };
            slowest(shards, speeds) * (1.0 + late)
        }
    };
    all / first / together
}

/// Time of a step of the machine with the most work, when shards go one by one, the largest first, to
/// the machine that is done with it first.
fn slowest(mut shards: Vec<f64>, speeds: &[f64]) -> f64 {
    shards.sort_by(|a, b| b.total_cmp(a));
    let mut loads = vec![0.0; speeds.len()];
    for shard in shards {
        let after = |at: usize| (loads[at] + shard) / speeds[at];
        let best = (0..speeds.len()).min_by(|&a, &b| after(a).total_cmp(&after(b)));
        best.into_iter().for_each(|at| loads[at] += shard);
    }
    loads.iter().zip(speeds).map(|(load, speed)| load / speed).fold(0.0, f64::max)
}

#[cfg(test)]
mod tests {
    use super::*;
    use ffp2p_proto::{Hash, LayerPlan};

    fn plan(placement: Placement, shards: u16) -> Plan {
        let layer = LayerPlan { shards, step_cost: 100 };
        Plan {
            run: Hash([0; 32]),
            layers: vec![layer; 4],
            steps: 1_000_000,
            epoch_steps: 100,
            chapter_steps: 100,
            branches: 1,
            merged: false,
            placement,
            feedback: false,
            refreshed: false,
        }
    }

    #[test]
    fn machines_beyond_the_shards_gain_nothing() {
        for (placement, shards, most) in
            [(Placement::AllLayers, 1, 4.0), (Placement::SingleLayer, 2, 8.0)]
        {
            let plan = plan(placement, shards);
            for (nodes, gains) in [(1, 1.0), (2, 2.0), (4, 4.0), (64, most)] {
                let found = ceiling(&plan, &vec![5.0; nodes]);
                assert!((found / gains - 1.0).abs() < 0.01, "{placement:?} {nodes}: {found}");
            }
        }
        assert!((ceiling(&plan(Placement::Sequential, 1), &[1.0, 3.0]) - 3.0).abs() < 0.01);
    }

    #[test]
    fn branches_make_places_for_more_machines() {
        let plan = Plan { branches: 4, merged: true, ..plan(Placement::AllLayers, 1) };
        for (nodes, gains) in [(1, 1.0), (4, 4.0), (16, 16.0), (64, 16.0)] {
            let found = ceiling(&plan, &vec![5.0; nodes]);
            assert!((found / gains - 1.0).abs() < 0.01, "{nodes}: {found}");
        }
        let found = ceiling(&plan, &[1.0, 1.0, 0.5, 0.25]);
        assert!((found / 2.75 - 1.0).abs() < 0.01, "{found}");
    }

    #[test]
    fn slow_machines_count_for_what_they_are() {
        let found = ceiling(&plan(Placement::SingleLayer, 2), &[2.0, 2.0, 1.0]);
        // Of eight shards the slow one takes two, for as long as the others could take four.
        assert!((found / 2.0 - 1.0).abs() < 0.01, "{found}");
    }
}
