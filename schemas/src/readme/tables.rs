//! The three tables, the statuses, and the words that columns hold.

use arrow::datatypes::{DataType, TimeUnit};

use super::{code, first, rows};
use crate::tables::Table;
use crate::{ClosedBy, Reason, ScoreKind, TsOrigin};

/// Numbers that count nothing and measure nothing.
const NAMES: [&str; 6] = ["kafka_partition", "kafka_offset", "detection_idx", "frame_seq", "revision", "worker_id"];

/// How the page writes a type.
fn notation(data_type: &DataType) -> String {
    match data_type {
        DataType::Utf8 => "string".to_owned(),
        DataType::Int32 => "int32".to_owned(),
        DataType::Int64 => "int64".to_owned(),
        DataType::Float32 => "float32".to_owned(),
        DataType::Float64 => "float64".to_owned(),
        DataType::Boolean => "bool".to_owned(),
        DataType::Timestamp(TimeUnit::Microsecond, Some(zone)) => format!("timestamp[us, {zone}]"),
        DataType::List(item) if !item.is_nullable() => format!("list<{}>", notation(item.data_type())),
        other => panic!("the page has no notation for {other}"),
    }
}

/// What the page says of each column: name, type, whether it can be null, unit.
fn described(table: Table) -> Vec<[String; 4]> {
    let rows = rows(&format!("### {}", table.name()), &["column", "type", "null", "unit", "means"]);
    let row = |row: &Vec<String>| [code(&row[0]).to_owned(), code(&row[1]).to_owned(), row[2].clone(), row[3].clone()];
    rows.iter().map(row).collect()
}

#[test]
fn the_tables_columns_are_those_of_the_code_in_their_order() {
    for table in Table::ALL {
        let schema = table.schema();
        let columns = schema.fields().iter().map(|field| {
            let null = if field.is_nullable() { "yes" } else { "no" };
            [field.name().clone(), notation(field.data_type()), null.to_owned()]
        });
        let page = described(table).into_iter().map(|[name, data_type, null, _]| [name, data_type, null]);
        assert_eq!(page.collect::<Vec<_>>(), columns.collect::<Vec<_>>(), "{}", table.name());
    }
}

#[test]
fn every_quantity_has_its_unit_and_nothing_else_has_one() {
    for table in Table::ALL {
        for [name, data_type, _, unit] in described(table) {
            let is_name = NAMES.contains(&name.as_str()) || ["string", "bool"].contains(&data_type.as_str());
            let expected = match name.rsplit('_').next() {
                _ if is_name => "—",
                _ if data_type.starts_with("timestamp") => "UTC",
                Some("px") => "px",
                Some("bytes") => "bytes",
                Some("ms" | "p50" | "p99") => "ms",
                _ => {
                    assert_ne!(unit, "—", "{name} of {} has a unit", table.name());
                    continue;
                }
            };
            assert_eq!(unit, expected, "{name} of {}", table.name());
        }
    }
}

#[test]
fn the_statuses_are_those_of_the_code() {
    let rows = rows("## Statuses", &["status", "counts in `windows` as", "dead letter's `dlq_stage`", "means"]);
    let statuses: Vec<_> = std::iter::once("ok").chain(Reason::ALL.map(Reason::as_str)).collect();
    assert_eq!(first(&rows), statuses);
    let counted = Reason::ALL.map(|reason| if reason.is_skip() { "frames_skipped" } else { "frames_failed" });
    let counted: Vec<_> = std::iter::once("frames_ok").chain(counted).collect();
    assert_eq!(rows.iter().map(|row| code(&row[1])).collect::<Vec<_>>(), counted);
    for (row, reason) in rows.iter().skip(1).zip(Reason::ALL) {
        assert_eq!(row[2] == "—", reason.is_skip(), "only what is at fault has a dead letter: {row:?}");
    }
}

#[test]
fn the_words_that_columns_hold_are_those_of_the_code() {
    // The matches name every variant, so that a new one is not forgotten here.
    let origins = [TsOrigin::Header, TsOrigin::CloudEvent, TsOrigin::Record, TsOrigin::Clamped].map(|origin| match origin {
        TsOrigin::Header | TsOrigin::CloudEvent | TsOrigin::Record | TsOrigin::Clamped => origin.as_str(),
    });
    assert_eq!(first(&rows("### frames", &["`ts_origin`", "`capture_ts` is"])), origins);
    let kinds = [ScoreKind::Prob, ScoreKind::HaarWeight, ScoreKind::None].map(|kind| match kind {
        ScoreKind::Prob | ScoreKind::HaarWeight | ScoreKind::None => kind.as_str(),
    });
    assert_eq!(first(&rows("### detections", &["`score_kind`", "`score` is"])), kinds);
    let closed = [ClosedBy::Watermark, ClosedBy::Idle].map(|by| match by {
        ClosedBy::Watermark | ClosedBy::Idle => by.as_str(),
    });
    assert_eq!(first(&rows("### windows", &["`closed_by`", "the window was closed because"])), closed);
}
