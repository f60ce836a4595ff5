//! A run's data, in words and numbers for people.
//!
//! Rule: what is told of a data set is its form and how many samples it has, and where each node
//! has data of its own the form alone.

use ffp2p_net::AboutData;

use crate::{
    data::{PRIVATE, kind_of},
    ff::NetworkSpec,
    spec::{Checked, Spec},
    text::thousands,
};

/// What this node tells of its data.
pub(crate) fn about_data(checked: &Checked) -> AboutData {
    let Checked { spec: Spec { data, network: NetworkSpec { classes, .. }, .. }, .. } = checked;
    let shape = checked.data.shape();
    AboutData {
        kind: kind_of(data).to_owned(),
        form: shape.form(),
        classes: *classes as u32,
        samples: (!data.starts_with(PRIVATE)).then_some((shape.train, shape.test)),
    }
}

/// Such a description as a phrase.
pub(crate) fn in_words(data: &AboutData) -> String {
    let AboutData { kind, form, classes, samples } = data;
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
    fn data_of_its_own_is_told_by_its_form_alone() {
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
