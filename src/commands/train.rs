//! `ffp2p train`: the whole run in one process, without a network. The reference.
//!
//! Rule: the training itself is the library's; here are its flags and its signals.

use super::{
    checks::{check_out, threads},
    error::CommandError,
    keeping::{self, OpenStore},
    signals::Signals,
};
use crate::{
    cli::TrainArgs,
    pool::Pool,
    store::StoreUser,
    train::{TrainOptions, train},
    view,
};

pub(super) fn run(args: TrainArgs) -> Result<(), CommandError> {
    let signals = Signals::listen()?;
    let threads = threads(args.threads, Pool::default_threads(1))?;
    let checked = args.spec.check()?;
    check_out(args.output.out.as_deref(), &checked.spec)?;
    let mut sink = view::for_stdout(args.output.json);
    keeping::report_found(&mut *sink, &checked.data);
    let store = args.store.as_deref();
    let OpenStore { disk, durability } =
        keeping::open(store, &checked.spec, StoreUser::Train, &mut *sink)?;
    let (out, stop) = (args.output.out, signals.flag());
    train(&checked, TrainOptions { threads, out, disk, durability, stop }, &mut *sink)?;
    Ok(())
}
