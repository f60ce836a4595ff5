//! A spec with the data set that it was checked against.
//!
//! Rule: whatever trains takes both, and may rely on their fitting.

use super::{canonical::Spec, error::UnfitError, settings::given};
use crate::data::Data;

/// A checked spec with its open data set.
#[derive(Clone, Debug)]
pub struct Checked {
    /// The spec of the run.
    pub spec: Spec,
    /// Its samples.
    pub data: Data,
}

impl Checked {
    /// A spec that may come from a stranger, with the data set that it is about.
    ///
    /// # Errors
    /// If the data set is another one, or no settings give this spec for it.
    pub fn of(spec: Spec, data: Data) -> Result<Self, UnfitError> {
        let again = given(&spec).build(&data).map_err(UnfitError::Spec)?;
        if again.data != spec.data {
            return Err(UnfitError::Data { given: data.id().to_owned(), wanted: spec.data });
        }
        if again == spec { Ok(Self { spec, data }) } else { Err(UnfitError::Form) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spec::Placement;

    #[test]
    fn a_strangers_spec_goes_with_its_own_data_only() {
        let data = |name: &str| Data::open(name).unwrap();
        let spec = |name: &str| Spec::builder().seed(7).shift(1).build(&data(name)).unwrap();
        let fitting = |spec: &Spec, name: &str| Checked::of(spec.clone(), data(name));
        let small = spec("digits:400+50");
        assert_eq!(fitting(&small, "digits:400+50").unwrap().spec, small);
        let other = fitting(&small, "digits:400+60");
        assert!(matches!(other, Err(UnfitError::Data { .. })), "{other:?}");
        let mut longer = small.clone();
        longer.network.steps_per_epoch += 1;
        assert!(matches!(fitting(&longer, "digits:400+50"), Err(UnfitError::Form)));
        let mut named = small.clone();
        named.form.classes = vec!["cat".to_owned()];
        assert!(matches!(fitting(&named, "digits:400+50"), Err(UnfitError::Form)));
        let mut larger = small;
        larger.network.batch_size = 401;
        assert!(matches!(fitting(&larger, "digits:400+50"), Err(UnfitError::Spec(_))));
        let private = Spec::builder().placement(Placement::Federated);
        let private = private.build(&data("digits:400+50")).unwrap();
        assert!(fitting(&private, "digits:900+90").is_ok(), "of one form");
    }
}
