//! The schemas that are known, by version: which properties measure what, and which texts they allow.

use crate::model::sample::STATISTICS;

/// One version of one schema.
#[derive(Debug)]
pub struct Schema {
    name: &'static str,
    version: &'static str,
    /// The property that measures, and the catalogue's metric for it.
    pub measure: Measure,
    /// Whether the schema itself asks for a time frame.
    pub needs_time: bool,
    /// Whether a time interval may be a date and a part of its day.
    pub has_part_of_day: bool,
    /// Other properties that are texts; with a list, one of these.
    pub texts: &'static [(&'static str, &'static [&'static str])],
}

/// A property that holds a value and a unit.
#[derive(Debug)]
pub struct Measure {
    /// Its name in the body.
    pub property: &'static str,
    /// The catalogue's name of what it measures.
    pub metric: &'static str,
    /// The units that the schema allows.
    pub units: &'static [&'static str],
}

impl Schema {
    /// By the three parts of a header's `schema_id`.
    pub fn find(namespace: &str, name: &str, version: &str) -> Option<&'static Schema> {
        let known = SCHEMAS.iter().find(|s| s.name == name && s.version == version);
        known.filter(|_| namespace == NAMESPACE)
    }

    /// For people.
    pub fn id(&self) -> String {
        format!("{NAMESPACE}:{}:{}", self.name, self.version)
    }
}

const NAMESPACE: &str = "omh";

const TO_SLEEP: (&str, &[&str]) =
    ("temporal_relationship_to_sleep", &["before sleeping", "during sleep", "on waking"]);
const TO_ACTIVITY: (&str, &[&str]) = (
    "temporal_relationship_to_physical_activity",
    &["at rest", "active", "before exercise", "after exercise", "during exercise"],
);
const TO_MEAL: (&str, &[&str]) = (
    "temporal_relationship_to_meal",
    &[
        "fasting",
        "not fasting",
        "before meal",
        "after meal",
        "before breakfast",
        "after breakfast",
        "before lunch",
        "after lunch",
        "before dinner",
        "after dinner",
        "2 hours postprandial",
    ],
);
const STATISTIC: (&str, &[&str]) = ("descriptive_statistic", STATISTICS);
const NOTES: (&str, &[&str]) = ("user_notes", &[]);
const BLOOD_SPECIMEN: (&str, &[&str]) = ("blood_specimen_type", &["whole blood", "plasma", "serum"]);
const SPECIMEN_1: (&str, &[&str]) = (
    "specimen_source",
    &["interstitial fluid", "capillary blood", "plasma", "serum", "tears", "whole blood"],
);
/// The second version of the list left the blood's fractions out, but points by it still name them.
const SPECIMEN_2: (&str, &[&str]) = (
    "specimen_source",
    &[
        "breath",
        "capillary blood",
        "interstitial fluid",
        "lacrimal fluid",
        "plasma",
        "saliva",
        "serum",
        "sweat",
        "tears",
        "urine",
        "whole blood",
    ],
);

const HEART_RATE: Measure = Measure { property: "heart_rate", metric: "heart_rate", units: &["beats/min"] };
const GLUCOSE: Measure =
    Measure { property: "blood_glucose", metric: "blood_glucose", units: &["mg/dL", "mmol/L"] };

static SCHEMAS: &[Schema] = &[
    Schema {
        name: "heart-rate",
        version: "1.0",
        measure: HEART_RATE,
        needs_time: false,
        has_part_of_day: true,
        texts: &[STATISTIC, TO_ACTIVITY, NOTES],
    },
    Schema {
        name: "heart-rate",
        version: "1.1",
        measure: HEART_RATE,
        needs_time: false,
        has_part_of_day: true,
        texts: &[STATISTIC, TO_ACTIVITY, TO_SLEEP, NOTES],
    },
    Schema {
        name: "heart-rate",
        version: "2.0",
        measure: HEART_RATE,
        needs_time: true,
        has_part_of_day: true,
        texts: &[STATISTIC, TO_ACTIVITY, TO_SLEEP],
    },
    Schema {
        name: "blood-glucose",
        version: "1.0",
        measure: GLUCOSE,
        needs_time: false,
        has_part_of_day: true,
        texts: &[STATISTIC, TO_MEAL, TO_SLEEP, BLOOD_SPECIMEN, NOTES],
    },
    Schema {
        name: "blood-glucose",
        version: "2.0",
        measure: GLUCOSE,
        needs_time: false,
        has_part_of_day: true,
        texts: &[STATISTIC, TO_MEAL, TO_SLEEP, SPECIMEN_1, NOTES],
    },
    Schema {
        name: "blood-glucose",
        version: "3.0",
        measure: GLUCOSE,
        needs_time: true,
        has_part_of_day: true,
        texts: &[STATISTIC, TO_MEAL, TO_SLEEP, SPECIMEN_2],
    },
    Schema {
        name: "blood-glucose",
        version: "4.0",
        measure: GLUCOSE,
        needs_time: true,
        // From 4.0 on time frames are IEEE 1752.1's, which has no parts of a day.
        has_part_of_day: false,
        texts: &[STATISTIC, TO_MEAL, TO_SLEEP, SPECIMEN_2],
    },
];
