//! What stands in a file is found by a service.

use std::fs;
use std::sync::Arc;

use kindred::domain::Vector;
use kindred::transfer::{Counts, ImportError, IndexFate};
use parquet::basic::Compression;
use parquet::column::writer::ColumnWriter;
use parquet::data_type::{ByteArray, FixedLenByteArray};
use parquet::file::properties::WriterProperties;
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::parser::parse_message_type;
use serde_json::{Value, json};
use uuid::Uuid;

use super::{Command, id, ready};
use crate::embedder::{REFUSED, words};
use crate::harness::{Service, texts};

const REVISION: &str = "SELECT max(revision) FROM organization_revisions";

fn created(created: u64) -> Counts {
    Counts { created, ..Counts::default() }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_form_of_a_line_is_found_by_a_service() {
    let service = Service::start().await;
    let mut acme = service.organization("acme").await;
    let command = Command::on(service.urls.clone()).await;
    let text = |number: u128, text: &str| json!({ "entity_type": "post", "entity_id": id(number), "content": text });
    let chunks = json!({
        "entity": { "type": "post", "id": id(3) },
        "sourceField": "caption",
        "chunks": [
            { "text": "green tea", "vector": words("green tea").as_slice() },
            { "text": "black tea", "vector": { "values": words("black tea").as_slice() } },
        ],
        "tags": ["tea"], "platform": "instagram", "status": "published", "language": "en",
        "occurredAt": "2026-05-01T12:00:00Z", "metadata": { "likes": 3 },
    });
    let path = command.lines("posts.jsonl", [ready(1, "iced coffee"), text(2, "hot coffee"), chunks]);
    let report = command.run(acme.id, &[&path]).await.unwrap();
    assert_eq!(report.counts(), created(3));
    assert_eq!(command.names(), ["posts.jsonl"], "nothing is left beside the file");
    let revision = command.count(REVISION).await;
    let answer = acme.find("coffee", revision).await;
    assert_eq!(texts(&answer)[..2].iter().filter(|text| text.ends_with("coffee")).count(), 2, "{answer:?}");
    let answer = acme.find("black tea", revision).await;
    let (hit, content) = (&answer.results[0], answer.results[0].content.as_ref().unwrap());
    assert_eq!((hit.source_field.as_str(), content.text.as_str()), ("caption", "black tea"));
    assert_eq!((content.tags.as_slice(), content.platform.as_str()), (&["tea".to_owned()][..], "instagram"));
    // The same once more is unchanged, and another text a version.
    let again = command.run(acme.id, &[&path]).await.unwrap();
    assert_eq!(again.counts(), Counts { unchanged: 3, ..Counts::default() });
    let path = command.lines("later.jsonl", [ready(1, "iced coffee"), ready(2, "cold brew")]);
    let later = command.run(acme.id, &[&path]).await.unwrap();
    assert_eq!(later.counts(), Counts { unchanged: 1, new_versions: 1, ..Counts::default() });
    assert!(command.application.stop(std::time::Duration::from_secs(5)).await);
}

/// A file as other programs write it: lists of floats, marked texts, a UUID of 16 bytes, times in nanoseconds, Snappy.
fn parquet_file(groups: &[std::ops::Range<u128>]) -> Vec<u8> {
    let schema = "message embeddings {
        required binary entity_type (UTF8);
        required fixed_len_byte_array(16) entity_id (UUID);
        optional binary text (UTF8);
        required group embedding (LIST) { repeated group list { required float element; } }
        required int64 occurred_at (TIMESTAMP(NANOS,true));
        optional binary metadata (JSON);
        required int32 likes;
    }";
    let schema = Arc::new(parse_message_type(schema).unwrap());
    let properties = Arc::new(WriterProperties::builder().set_compression(Compression::SNAPPY).build());
    let mut writer = SerializedFileWriter::new(Vec::new(), schema, properties).unwrap();
    for numbers in groups {
        let numbers: Vec<u128> = numbers.clone().collect();
        let vectors: Vec<Vector> = numbers.iter().map(|number| words(&text_of(*number))).collect();
        let mut group = writer.next_row_group().unwrap();
        let bytes = |text: String| ByteArray::from(text.into_bytes());
        let ones = vec![1; numbers.len()];
        for column in 0.. {
            let Some(mut open) = group.next_column().unwrap() else { break };
            match (column, open.untyped()) {
                (0, ColumnWriter::ByteArrayColumnWriter(writer)) => {
                    let values: Vec<_> = numbers.iter().map(|_| bytes("post".to_owned())).collect();
                    writer.write_batch(&values, None, None)
                }
                (1, ColumnWriter::FixedLenByteArrayColumnWriter(writer)) => {
                    let of = |number: &u128| FixedLenByteArray::from(Uuid::from_u128(*number).as_bytes().to_vec());
                    writer.write_batch(&numbers.iter().map(of).collect::<Vec<_>>(), None, None)
                }
                (2, ColumnWriter::ByteArrayColumnWriter(writer)) => {
                    let values: Vec<_> = numbers.iter().map(|number| bytes(text_of(*number))).collect();
                    writer.write_batch(&values, Some(&ones), None)
                }
                (3, ColumnWriter::FloatColumnWriter(writer)) => {
                    let values: Vec<f32> = vectors.iter().flat_map(|vector| vector.as_slice().to_vec()).collect();
                    let definitions = vec![1; values.len()];
                    let repetitions: Vec<i16> = vectors
                        .iter()
                        .flat_map(|vector| (0..vector.dimensions()).map(|at| i16::from(at > 0)))
                        .collect();
                    writer.write_batch(&values, Some(&definitions), Some(&repetitions))
                }
                (4, ColumnWriter::Int64ColumnWriter(writer)) => {
                    let values: Vec<i64> = numbers.iter().map(|number| *number as i64 * 1_000_000_000).collect();
                    writer.write_batch(&values, None, None)
                }
                (5, ColumnWriter::ByteArrayColumnWriter(writer)) => {
                    // A null in every other row.
                    let levels: Vec<i16> = numbers.iter().map(|number| i16::from(number % 2 == 0)).collect();
                    let values: Vec<_> = numbers.iter().filter(|number| *number % 2 == 0).collect();
                    let values: Vec<_> = values.iter().map(|number| bytes(format!("{{\"n\":{number}}}"))).collect();
                    writer.write_batch(&values, Some(&levels), None)
                }
                (6, ColumnWriter::Int32ColumnWriter(writer)) => writer.write_batch(&vec![7; numbers.len()], None, None),
                _ => panic!("column {column} is of another type"),
            }
            .unwrap();
            open.close().unwrap();
        }
        group.close().unwrap();
    }
    writer.into_inner().unwrap()
}

fn text_of(number: u128) -> String {
    format!("coffee number{number}")
}

#[tokio::test(flavor = "multi_thread")]
async fn parquet_is_found_by_a_service() {
    let service = Service::start().await;
    let mut acme = service.organization("acme").await;
    let command = Command::on(service.urls.clone()).await;
    let path = command.path("posts.parquet");
    fs::write(&path, parquet_file(&[1..41, 41..51])).unwrap();
    let report = command.run(acme.id, &[&path]).await.unwrap();
    assert_eq!(report.counts(), created(50));
    assert_eq!(report.files[0].unknown.iter().collect::<Vec<_>>(), ["likes"]);
    let revision = command.count(REVISION).await;
    for number in [1, 40, 41, 50] {
        let answer = acme.find(&text_of(number), revision).await;
        assert_eq!(texts(&answer)[0], text_of(number));
        let content = answer.results[0].content.as_ref().unwrap();
        assert_eq!(content.occurred_at.unwrap().seconds, number as i64);
        assert_eq!(content.metadata.as_ref().is_some_and(|told| told.fields.len() == 1), number % 2 == 0);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_lines_are_told_and_the_others_land() {
    let command = Command::new().await;
    let acme = command.organization("acme").await;
    let with = |number: u128, field: &str, value: Value| {
        let mut line = ready(number, "some text");
        line[field] = value;
        line
    };
    let path = command.lines(
        "posts.jsonl",
        [
            ready(1, "good"),
            json!("no object"),
            with(2, "entity_id", json!("42")),
            with(3, "vector", json!([1, 2, 3])),
            with(4, "vector", json!(["x"])),
            json!({ "entity_type": "post", "entity_id": id(5), "text": REFUSED }),
            with(6, "model_id", json!("other-model")),
            with(7, "expected_version", json!(9)),
            with(8, "surprise", json!(true)),
            with(9, "chunk_index", json!(1)),
        ],
    );
    let report = command.run(acme, &[&path]).await.unwrap();
    assert_eq!(report.counts(), Counts { created: 2, refused: 8, ..Counts::default() });
    assert_eq!(report.files[0].unknown.iter().collect::<Vec<_>>(), ["surprise"]);
    let told = fs::read_to_string(report.files[0].rejects.as_ref().unwrap()).unwrap();
    let told: Vec<Value> = told.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let expected = [
        (2, "line", "JSON object"),
        (3, "entity_id", "not a UUID"),
        (4, "vector", "3 dimensions but the model makes 64"),
        (5, "vector", "expected f32"),
        (6, "text", "refuses the input"),
        (7, "model_id", "--model other-model"),
        (8, "expected_version", "9 was expected"),
        (10, "chunk_index", "is 1"),
    ];
    assert_eq!(told.len(), expected.len());
    for (told, (line, field, reason)) in told.iter().zip(expected) {
        assert_eq!(
            (&told["file"], &told["line"], &told["field"]),
            (&json!("posts.jsonl"), &json!(line), &json!(field))
        );
        assert!(told["reason"].as_str().unwrap().contains(reason), "{told}");
    }
    assert_eq!(command.count("SELECT count(*) FROM embeddings").await, 2);
    assert_eq!(command.names(), ["posts.jsonl", "posts.jsonl.rejected.jsonl"]);
    // Mended, nothing is left to tell.
    command.lines("posts.jsonl", [ready(1, "good")]);
    assert_eq!(command.run(acme, &[&path]).await.unwrap().files[0].rejects, None);
    assert_eq!(command.names(), ["posts.jsonl"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn files_that_cannot_be_read_end_the_import() {
    let command = Command::new().await;
    let acme = command.organization("acme").await;
    let (csv, missing) = (command.path("posts.csv"), command.path("missing.jsonl"));
    let error = command.run(acme, &[&csv]).await.unwrap_err();
    assert!(matches!(error, ImportError::UnknownFormat { .. }), "{error}");
    let error = command.run(acme, &[&missing]).await.unwrap_err().to_string();
    assert!(error.contains("missing.jsonl: it cannot be"), "{error}");
    for (content, reason) in [
        (b"no parquet".to_vec(), "Parquet"),
        (parquet_file(&[1..41, 41..51])[..9_000].to_vec(), "Parquet"),
        (without_vectors(), "no column entity_type; rename one of its columns: name"),
    ] {
        let path = command.path("damaged.parquet");
        fs::write(&path, content).unwrap();
        let error = command.run(acme, &[&path]).await.unwrap_err().to_string();
        assert!(error.contains("damaged.parquet: ") && error.contains(reason), "{error}");
    }
    // What came before the damage stays, and a failed import leaves an index.
    let good = command.lines("good.jsonl", [ready(1, "good")]);
    command.run(acme, &[&good, &missing]).await.unwrap_err();
    assert_eq!(command.count("SELECT count(*) FROM embeddings WHERE settled").await, 1);
    let report = command.run(acme, &[&good]).await.unwrap();
    assert_eq!((report.files[0].earlier_rows, report.index), (1, IndexFate::Kept));
}

fn without_vectors() -> Vec<u8> {
    let schema = Arc::new(parse_message_type("message other { required binary name (UTF8); }").unwrap());
    SerializedFileWriter::new(Vec::new(), schema, Arc::default()).unwrap().into_inner().unwrap()
}
