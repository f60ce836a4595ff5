//! `ffp2p eval`: how well an exported model does, by both classifiers.

use super::{CommandError, threads};
use crate::{cli::EvalArgs, data::Source, export::Model, node::Pool, spec::Classifier, view::line};

pub(super) fn run(args: EvalArgs) -> Result<(), CommandError> {
    let pool = Pool::new(threads(args.threads, Pool::usual_threads(1))?);
    let source: Source = args.data.parse()?;
    let model = Model::load(&args.model)?;
    let data = source.open()?;
    let network = &model.spec.network;
    let (width, classes) = (network.layers[0], network.classes);
    let shape = data.shape();
    if (shape.width, shape.classes) != (width, classes) {
        return Err(CommandError::Usage(format!(
            "--data {}: has {} pixels and {} classes, the model wants {width} and {classes}",
            args.data, shape.width, shape.classes
        )));
    }
    let found = model.evaluate(&data, usize::MAX, &pool);
    let fraction = |correct: u32| f64::from(correct) / f64::from(found.samples.max(1));
    let (softmax, goodness) = (fraction(found.softmax_correct), fraction(found.goodness_correct));
    let hash = model.hash().to_string();
    if args.json {
        let answer = serde_json::json!({
            "event": "eval",
            "samples": found.samples,
            "softmax_accuracy": softmax,
            "goodness_accuracy": goodness,
            "model": hash,
        });
        line(&answer.to_string());
    } else {
        let lead = |which| if model.spec.classifier == which { " (the run's)" } else { "" };
        line(&format!("model {hash}"));
        line(&format!("softmax  {:.2} %{}", softmax * 100.0, lead(Classifier::Softmax)));
        line(&format!("goodness {:.2} %{}", goodness * 100.0, lead(Classifier::Goodness)));
        line(&format!("on {} test samples of {}", found.samples, data.id()));
    }
    Ok(())
}
