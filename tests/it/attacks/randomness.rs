//! Attacks on randomness, row E. Each test answers a flaw that was found elsewhere and
//! has its number. E1 to E5 are also tested next to the draw itself, in
//! `src/key/base62.rs`.

use core::convert::Infallible;
use std::collections::HashSet;

use crate::common::service::{Service, at, client};
use crate::common::test_rng::TestRng;
use keystile::{
    ErrorKind, IssueRequest, KeyFormat, KeyId, PepperRing, RotationPolicy, TryCryptoRng, TryRng,
    issue, rotate,
};

#[test]
fn e4_rustsec_2024_0398_each_character_comes_up_in_each_place_of_id_and_secret() {
    let mut service = Service::structured();
    let request = IssueRequest::new("Acme Ltd").unwrap();
    let mut counts = vec![[0u32; 256]; 59];
    for _ in 0..12_400 {
        let issued = service.issue(&request);
        let text = issued.key.expose().as_bytes();
        let (id, secret) = (&text[6..21], &text[22..65]);
        for (place, byte) in id.iter().chain(secret).enumerate() {
            counts[place][usize::from(*byte)] += 1;
        }
    }
    for (place, counts) in counts.iter().take(58).enumerate() {
        for byte in 0..=u8::MAX {
            let count = counts[usize::from(byte)];
            // 200 are expected, plus or minus seven times the standard deviation of 14.
            let expected = if byte.is_ascii_alphanumeric() {
                100..=300
            } else {
                0..=0
            };
            assert!(
                expected.contains(&count),
                "{count} times {byte} in place {place}"
            );
        }
    }
}

/// A source that returns this many bytes of a test generator and then fails.
struct Failing {
    rng: TestRng,
    left: usize,
}

impl TryRng for Failing {
    type Error = core::fmt::Error;

    fn try_next_u32(&mut self) -> Result<u32, Self::Error> {
        Err(core::fmt::Error)
    }

    fn try_next_u64(&mut self) -> Result<u64, Self::Error> {
        Err(core::fmt::Error)
    }

    fn try_fill_bytes(&mut self, to: &mut [u8]) -> Result<(), Self::Error> {
        self.left = self.left.checked_sub(to.len()).ok_or(core::fmt::Error)?;
        let Ok(()) = self.rng.try_fill_bytes(to);
        Ok(())
    }
}

impl TryCryptoRng for Failing {}

#[test]
fn e5_cve_2026_25726_a_failing_source_is_an_error_and_never_a_weaker_key() {
    let none = PepperRing::none();
    for (format, enough) in [
        (KeyFormat::structured("acme").unwrap(), 192),
        (KeyFormat::opaque("dt").unwrap(), 128),
    ] {
        let mut whole = 0;
        for left in 0..=2 * enough {
            let mut source = Failing {
                rng: TestRng::seeded(1),
                left,
            };
            let issued = issue(&format, &none, &client(), &mut source, at(0));
            if let Err(error) = issued {
                assert_eq!(error.kind(), ErrorKind::Randomness);
                assert!(left < enough, "{left} bytes are enough");
            } else {
                whole += 1;
                assert!(left >= enough, "{left} bytes are not enough");
            }
        }
        assert!(whole > 0);
    }
    let mut empty = Failing {
        rng: TestRng::seeded(1),
        left: 0,
    };
    assert_eq!(
        KeyId::random(&mut empty).unwrap_err().kind(),
        ErrorKind::Randomness
    );
    let mut service = Service::structured();
    let record = service.issue(&client()).record;
    let (policy, format) = (RotationPolicy::default(), &service.format);
    let rotated = rotate(&record, &[], &policy, format, &none, &mut empty, at(0));
    assert_eq!(rotated.unwrap_err().kind(), ErrorKind::Randomness);
}

/// A source whose first bytes are always the same; the later ones come from another
/// source.
struct SameStart(TestRng, TestRng, usize);

impl TryRng for SameStart {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        self.1.try_next_u32()
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        self.1.try_next_u64()
    }

    fn try_fill_bytes(&mut self, to: &mut [u8]) -> Result<(), Infallible> {
        self.2 += 1;
        if self.2 == 1 {
            return self.0.try_fill_bytes(to);
        }
        self.1.try_fill_bytes(to)
    }
}

impl TryCryptoRng for SameStart {}

#[test]
fn e6_cve_2024_45719_the_secret_does_not_follow_from_the_id_or_the_time() {
    let format = KeyFormat::structured("acme").unwrap();
    let none = PepperRing::none();
    let keys: Vec<_> = (0..50)
        .map(|seed| {
            let mut source = SameStart(TestRng::seeded(0), TestRng::seeded(1 + seed), 0);
            // Time and client differ too, and do not affect the text.
            let request = IssueRequest::new(&format!("client {seed}")).unwrap();
            issue(&format, &none, &request, &mut source, at(seed * 1_000)).unwrap()
        })
        .collect();
    assert!(keys.iter().all(|key| key.record.id == keys[0].record.id));
    let secrets: HashSet<&str> = keys.iter().map(|key| &key.key.expose()[22..65]).collect();
    assert_eq!(secrets.len(), 50);
    let twice = [at(0), at(86_400_000)].map(|now| {
        let issued = issue(&format, &none, &client(), &mut TestRng::seeded(5), now);
        issued.unwrap().key.expose().to_string()
    });
    assert_eq!(twice[0], twice[1], "nothing but the source makes the text");
    // 43 characters of 62 are 256 bits or more: 62⁴³ ≥ 2²⁵⁶, in powers that fit.
    assert!(43.0 * 62f64.log2() >= 256.0 && 42.0 * 62f64.log2() < 256.0);
}

#[cfg(feature = "getrandom")]
#[test]
fn e7_cve_2019_1549_there_is_no_state_that_a_fork_could_share() {
    assert_eq!(
        size_of::<keystile::SysRng>(),
        0,
        "each draw asks the operating system"
    );
    let format = KeyFormat::structured("acme").unwrap();
    let threads: Vec<_> = (0..4)
        .map(|_| {
            let format = format.clone();
            std::thread::spawn(move || {
                let draw = |_| {
                    let none = PepperRing::none();
                    let mut source = keystile::SysRng;
                    let issued = issue(&format, &none, &client(), &mut source, at(0)).unwrap();
                    issued.key.expose().to_string()
                };
                (0..2_500).map(draw).collect::<Vec<String>>()
            })
        })
        .collect();
    let keys: Vec<String> = threads
        .into_iter()
        .flat_map(|t| t.join().unwrap())
        .collect();
    let ids: HashSet<&str> = keys.iter().map(|key| &key[10..26]).collect();
    let secrets: HashSet<&str> = keys.iter().map(|key| &key[27..70]).collect();
    assert_eq!((ids.len(), secrets.len()), (10_000, 10_000));
}

#[test]
fn e8_rustsec_2026_0097_no_logger_stands_on_the_way_of_a_draw() {
    // A logger that draws random numbers could bring the generator back in.
    let manifest = include_str!("../../../Cargo.toml");
    let own = manifest.split("[dependencies]").nth(1).unwrap();
    let own = own.split("\n[").next().unwrap();
    let names: Vec<&str> = own
        .lines()
        .filter_map(|line| line.split(['=', '.']).next())
        .map(str::trim)
        .filter(|name| !name.is_empty())
        .collect();
    assert!(
        names.contains(&"rand_core") && names.contains(&"sha2"),
        "{names:?}"
    );
    for name in ["log", "tracing", "rand", "once_cell", "lazy_static"] {
        assert!(!names.contains(&name), "{name}");
    }
}
