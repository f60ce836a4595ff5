//! `ffp2p eval`: how well an exported model does, by each classifier that its objective has.

use super::{checks::threads, error::CommandError};
use crate::{
    cli::EvalArgs,
    data::Source,
    export::{Model, other_correct},
    ff::Objective,
    pool::Pool,
    spec::Classifier,
    view::line,
};

pub(super) fn run(args: EvalArgs) -> Result<(), CommandError> {
    let pool = Pool::new(threads(args.threads, Pool::default_threads(1))?);
    let source: Source = args.data.parse()?;
    let model = Model::load(&args.model).map_err(|error| CommandError::Usage(error.to_string()))?;
    let data = source.open_test()?;
    let network = &model.spec.network;
    let found = model
        .evaluate(&data, &pool)
        .map_err(|error| CommandError::Usage(format!("--data {}: {error}", args.data)))?;
    let fraction = |correct: u32| f64::from(correct) / f64::from(found.samples.max(1));
    let (softmax, other) =
        (fraction(found.softmax_correct), fraction(other_correct(&model.spec, &found)));
    let (name, field) = match network.objective {
        Objective::Goodness => ("goodness", "goodness_accuracy"),
        Objective::Softmax => ("last layer", "last_layer_accuracy"),
    };
    let hash = model.hash().to_string();
    if args.json {
        let answer = serde_json::json!({
            "event": "eval",
            "samples": found.samples,
            "softmax_accuracy": softmax,
            field: other,
            "model": hash,
        });
        line(&answer.to_string());
    } else {
        let lead = |is_lead| if is_lead { " (the run's)" } else { "" };
        let by_softmax = model.spec.classifier == Classifier::Softmax;
        line(&format!("model {hash}"));
        line(&format!("{:10} {:.2} %{}", "softmax", softmax * 100.0, lead(by_softmax)));
        line(&format!("{name:10} {:.2} %{}", other * 100.0, lead(!by_softmax)));
        line(&format!("on {} test samples of {}", found.samples, data.id()));
    }
    Ok(())
}
