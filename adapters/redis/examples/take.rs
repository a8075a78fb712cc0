//! Takes tokens of a lineage's rate limit on a Redis server, and prints how many it got:
//! `take redis://127.0.0.1 1AbCdEfGhIjKlMnO 100 7` for 7 tokens of a limit of 100 a day.

#![allow(clippy::print_stdout, reason = "it prints what it took")]

use core::error::Error;
use std::env;

use keystile::{Millis, RateLimit};
use keystile_redis::{RedisLimits, RedisOptions};
use keystile_store::{Limits, Take};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let words: Vec<String> = env::args().skip(1).collect();
    let [url, lineage, limit, tokens] = words.as_slice() else {
        return Err("expected URL LINEAGE LIMIT TOKENS".into());
    };
    let limits = RedisLimits::connect(RedisOptions::new(url)?).await?;
    let daily = RateLimit::new(limit.parse()?, Millis::from_days(1))?;
    let take = Take::new(lineage.parse()?, daily, tokens.parse()?);
    println!("{}", limits.take(&take).await?.tokens);
    Ok(())
}
