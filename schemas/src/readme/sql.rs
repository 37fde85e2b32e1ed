//! The tables for Spark and Athena have the columns of the code, in its order.

use arrow::datatypes::{DataType, TimeUnit};

use crate::tables::Table;

const SPARK: &str = include_str!("../../sql/spark.sql");
const ATHENA: &str = include_str!("../../sql/athena.sql");

/// The name of a type in Hive's SQL, which both speak, in lower case.
fn hive(data_type: &DataType) -> String {
    match data_type {
        DataType::Utf8 => "string".to_owned(),
        DataType::Int32 => "int".to_owned(),
        DataType::Int64 => "bigint".to_owned(),
        DataType::Float32 => "float".to_owned(),
        DataType::Float64 => "double".to_owned(),
        DataType::Boolean => "boolean".to_owned(),
        DataType::Timestamp(TimeUnit::Microsecond, Some(_)) => "timestamp".to_owned(),
        DataType::List(item) => format!("array<{}>", hive(item.data_type())),
        other => panic!("no type for {other}"),
    }
}

fn expected(table: Table) -> Vec<(String, String)> {
    table.schema().fields().iter().map(|field| (field.name().clone(), hive(field.data_type()))).collect()
}

/// The columns in the parentheses that follow `start` and a line's end.
fn columns(sql: &str, start: &str) -> Vec<(String, String)> {
    let (_, after) = sql.split_once(&format!("{start} (\n")).unwrap_or_else(|| panic!("{start} (…"));
    let (list, _) = after.split_once("\n)").expect("a closing parenthesis");
    list.lines()
        .map(|line| {
            let (name, data_type) = line.trim().trim_end_matches(',').split_once(' ').expect("a name and a type");
            (name.to_owned(), data_type.to_lowercase())
        })
        .collect()
}

fn folders(date: &str) -> [(String, String); 2] {
    [("event_date".to_owned(), date.to_owned()), ("event_hour".to_owned(), "int".to_owned())]
}

#[test]
fn sparks_tables_have_the_columns_of_the_code_and_those_of_the_folders() {
    for table in Table::ALL {
        let name = table.name();
        let found = columns(SPARK, &format!("CREATE TABLE IF NOT EXISTS {name}"));
        assert_eq!(found, [expected(table), folders("date").to_vec()].concat(), "{name}");
        let (_, after) = SPARK.split_once(&format!("IF NOT EXISTS {name} ")).expect("the table");
        let rest = "USING parquet\nPARTITIONED BY (event_date, event_hour)\n";
        assert!(after.split_once(")\n").is_some_and(|(_, after)| after.starts_with(rest)), "{name}");
        assert!(
            SPARK.contains(&format!("LOCATION '${{store}}/{name}'")) && SPARK.contains(&format!("MSCK REPAIR TABLE {name};"))
        );
    }
}

#[test]
fn athenas_tables_have_the_columns_of_the_code_and_find_the_folders_that_it_makes() {
    for table in Table::ALL {
        let name = table.name();
        assert_eq!(columns(ATHENA, &format!("CREATE EXTERNAL TABLE IF NOT EXISTS facestream.{name}")), expected(table), "{name}");
        let (_, after) = ATHENA.split_once(&format!("IF NOT EXISTS facestream.{name} (")).expect("the table");
        let statement = after.split(';').next().expect("a statement");
        assert_eq!(columns(statement, "PARTITIONED BY"), folders("string"), "{name}");
        // What the folders of an hour are called, with Athena's placeholders in place of their values.
        let folder = crate::Hour(0).to_string().replace("1970-01-01", "${event_date}").replace("=0", "=${event_hour}");
        assert!(statement.contains(&format!("LOCATION 's3://bucket/prefix/{name}/'\n")), "{name}");
        assert!(statement.contains(&format!("'storage.location.template' = 's3://bucket/prefix/{name}/{folder}/'\n")), "{name}");
        for property in [
            "'projection.enabled' = 'true'",
            "'projection.event_date.type' = 'date'",
            "'projection.event_date.format' = 'yyyy-MM-dd'",
            "'projection.event_hour.type' = 'integer'",
            "'projection.event_hour.range' = '0,23'",
        ] {
            assert!(statement.contains(property), "{name}: {property}");
        }
        assert!(!statement.contains("event_hour.digits"), "hours are not padded");
    }
}
