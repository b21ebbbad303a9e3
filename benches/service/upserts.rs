//! How fast vectors come in while nobody searches.

use crate::client::Client;
use crate::data::Data;
use crate::options::Options;
use crate::server::Child;
use crate::settled;

pub(crate) async fn measure(options: &Options) {
    let data = Data::new(&options.wanted);
    println!("{} vectors of {} dimensions", data.rows.len(), data.dimensions);
    let (database, key) = settled(options, &data).await;
    let kindred = Child::kindred(options, &database);
    let client = Client::connect(&kindred, &key).await;
    // From then on acknowledgements wait for the mirror, too.
    client.warm(&data, options.ef).await;
    // What is written again as it was is no write: each run has numbers of its own.
    for (callers, first) in options.upserts.iter().copied().zip((2_000_000..).step_by(1_000_000)) {
        let rate = client.upsert_singly(&data, first, callers, options.seconds).await;
        println!("upserted by {callers} callers, one at a time: {rate:.0} vectors/s");
    }
    kindred.stop();
    database.stop().await;
}
