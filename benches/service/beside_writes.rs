//! Searches while others write.

use crate::client::{Client, Load, Writes};
use crate::data::Data;
use crate::options::Options;
use crate::server::Child;
use crate::{machine, settled};

/// Of a service of its own, by one ef_search.
pub(crate) async fn measure(options: &Options) {
    let data = Data::new(&options.wanted);
    println!("{} vectors of {} dimensions, {} queries", data.rows.len(), data.dimensions, data.queries.len());
    let (database, key) = settled(options, &data).await;
    let (kindred, echo) =
        (Child::kindred(&Options { ef: options.beside_writes, ..options.clone() }, &database), Child::echo());
    let (client, floor) = (Client::connect(&kindred, &key).await, Client::connect(&echo, &key).await);
    client.warm(&data, options.beside_writes).await;
    machine::until_idle().await;
    Load::print_head();
    compare(options, &data, (&client, &kindred), (&floor, &echo)).await;
    echo.stop();
    kindred.stop();
    database.stop().await;
}

/// Searches at rest, beside writes, at rest again with the rows that came, and beside more writes; the echo, too, since the
/// machine alone does something to calls beside writes.
pub(crate) async fn compare(
    options: &Options,
    data: &Data,
    (client, kindred): (&Client, &Child),
    (floor, echo): (&Client, &Child),
) {
    let seconds = options.seconds.max(20);
    let writes = |rate| Writes { rate, apart: options.writes_apart, replace: options.writes_replace };
    let at_rest = async |name| {
        let load = client.load(data, 1, seconds, kindred).await;
        load.print(&format!("kindred, 1 at once, {name}"), None);
        load
    };
    let beside = async |rate| {
        let load = client.load_while_writing(kindred, data, writes(rate), seconds, kindred).await;
        load.print(&format!("kindred, 1 at once, {rate} writes/s"), None);
        (rate, load)
    };
    let before = at_rest("no writes").await;
    let (few, usual) = (beside(options.writes / 10).await, beside(options.writes).await);
    machine::until_idle().await;
    let after = at_rest("no more writes").await;
    let many = beside(options.writes * 3).await;
    let rate = client.upsert_singly(data, 2_000_000, 16, options.seconds).await;
    println!("upserted by 16 callers, one at a time: {rate:.0} vectors/s");
    machine::until_idle().await;
    let quiet = floor.load(data, 1, seconds, echo).await;
    quiet.print("tonic echo, 1 at once, no writes", None);
    let echoed = floor.load_while_writing(kindred, data, writes(options.writes), seconds, echo).await;
    echoed.print(&format!("tonic echo, 1 at once, {} writes/s", options.writes), None);
    for (rate, load) in [few, usual, many] {
        println!(
            "p99 beside {rate} writes/s: {:.2} x that before, {:.2} x that after",
            load.p99_ms / before.p99_ms,
            load.p99_ms / after.p99_ms
        );
    }
    println!("of the echo beside {} writes/s: {:.2} x", options.writes, echoed.p99_ms / quiet.p99_ms);
}
