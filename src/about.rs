//! A node's account of its run and its data, for others.
//!
//! Rule: of a data set it tells the form and the number of samples, and of private data the form alone.

use ffp2p_net::{AboutData, RunInfo};

use crate::{
    data::{PRIVATE, kind_of},
    ff::NetworkSpec,
    sharing::manifest,
    spec::{Checked, Spec},
    text::thousands,
};

/// The run as a node announces it; `data` are its own.
pub(crate) fn run_info(spec: &Spec, name: Option<String>, data: Option<AboutData>) -> RunInfo {
    RunInfo { id: spec.run_id(), spec: spec.canonical().into(), name, data }
}

/// The description of a node's data.
pub(crate) fn about_data(checked: &Checked) -> AboutData {
    let Checked { spec: Spec { data, network: NetworkSpec { classes, .. }, .. }, .. } = checked;
    let shape = checked.data.shape();
    AboutData {
        kind: kind_of(data).to_owned(),
        form: shape.form(),
        classes: *classes as u32,
        samples: (!data.starts_with(PRIVATE)).then_some((shape.train, shape.test)),
        manifest: manifest(checked).map_or(0, |manifest| manifest.len() as u32),
    }
}

/// A description of data as a phrase.
pub(crate) fn in_words(data: &AboutData) -> String {
    let AboutData { kind, form, classes, samples, manifest: _ } = data;
    let samples = samples.map_or_else(
        || "images".to_owned(),
        |(train, test)| format!("{} + {} images", thousands(train.into()), thousands(test.into())),
    );
    let classes = if *classes == 1 { "1 class".to_owned() } else { format!("{classes} classes") };
    format!("{kind}, {samples} of {form}, {classes}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{data::Data, spec::Placement};

    #[test]
    fn of_private_data_only_the_form_is_told() {
        let check = |placement: Placement| {
            let data = Data::open("digits:2000+50").unwrap();
            Spec::builder().placement(placement).check(data).unwrap()
        };
        let told = about_data(&check(Placement::SingleLayer));
        assert_eq!(in_words(&told), "digits, 2,000 + 50 images of 28 x 28 grey, 10 classes");
        let told = about_data(&check(Placement::Federated));
        assert_eq!(told.samples, None);
        assert_eq!(in_words(&told), "private, images of 28 x 28 grey, 10 classes");
    }
}
