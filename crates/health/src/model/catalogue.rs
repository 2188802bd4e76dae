//! The metrics that are known: LOINC code, canonical UCUM unit, accepted units and plausible range.

use rust_decimal::Decimal;

use super::unit::{Unit, decimal};

/// One measurable thing.
#[derive(Debug)]
pub struct Metric {
    /// What rows carry. Never reused.
    pub id: i16,
    /// What the API calls it.
    pub code: &'static str,
    /// For people.
    pub title: &'static str,
    /// Its LOINC code in the canonical unit's property.
    pub loinc: &'static str,
    /// The canonical unit first, then all others that are accepted.
    pub units: &'static [Unit],
    /// The least value, in the canonical unit, that a living person can have.
    pub low: Decimal,
    /// The greatest.
    pub high: Decimal,
}

impl Metric {
    /// By the API's name.
    pub fn find(code: &str) -> Option<&'static Metric> {
        CATALOGUE.iter().find(|m| m.code == code)
    }

    /// By the number in a row.
    pub fn by_id(id: i16) -> Option<&'static Metric> {
        CATALOGUE.iter().find(|m| m.id == id)
    }

    /// The unit that values are kept and compared in.
    pub fn unit(&self) -> &'static str {
        self.units[0].name
    }

    /// A unit by any of its names.
    pub fn unit_named(&self, name: &str) -> Option<&'static Unit> {
        self.units.iter().find(|u| u.name == name)
    }

    /// Whether a canonical value lies in the plausible range, bounds included.
    pub fn is_plausible(&self, value: Decimal) -> bool {
        (self.low..=self.high).contains(&value)
    }
}

const ONE: Decimal = Decimal::ONE;

/// mg/dL over this is mmol/L: a tenth of the molar mass, here C6H12O6 at 180.156 g/mol (IUPAC's abridged atomic weights of 2021).
const GLUCOSE: Decimal = decimal(180_156, 4);
/// As above: C27H46O at 386.664 g/mol.
const CHOLESTEROL: Decimal = decimal(386_664, 4);
/// As above: C4H7N3O at 113.120 g/mol. Creatinine is kept in umol/L, so a thousand times that.
const CREATININE: Decimal = decimal(113_120, 4);

const PER_MINUTE: &[Unit] = &[
    Unit::same("/min"),
    Unit::same("beats/min"),
    Unit::same("{beats}/min"),
    Unit::same("bpm"),
    Unit::ratio("Hz", decimal(60, 0), ONE),
    Unit::ratio("/s", decimal(60, 0), ONE),
];
const BREATHS: &[Unit] = &[Unit::same("/min"), Unit::same("breaths/min"), Unit::same("{breaths}/min")];
const PRESSURE: &[Unit] = &[
    Unit::same("mm[Hg]"),
    Unit::same("mmHg"),
    Unit::ratio("kPa", decimal(1_000_000_000, 0), decimal(133_322_387, 0)),
];
const PERCENT: &[Unit] = &[Unit::same("%"), Unit::ratio("1", decimal(100, 0), ONE)];
const TEMPERATURE: &[Unit] = &[
    Unit::same("Cel"),
    Unit::same("C"),
    Unit::same("°C"),
    Unit::shifted("[degF]", decimal(5, 0), decimal(-160, 0), decimal(9, 0)),
    Unit::shifted("F", decimal(5, 0), decimal(-160, 0), decimal(9, 0)),
    Unit::shifted("K", ONE, decimal(-27_315, 2), ONE),
];
const MASS: &[Unit] = &[
    Unit::same("kg"),
    Unit::ratio("g", decimal(1, 3), ONE),
    Unit::ratio("[lb_av]", decimal(45_359_237, 8), ONE),
    Unit::ratio("lb", decimal(45_359_237, 8), ONE),
    Unit::ratio("[stone_av]", decimal(635_029_318, 8), ONE),
];
const LENGTH: &[Unit] = &[
    Unit::same("cm"),
    Unit::ratio("mm", decimal(1, 1), ONE),
    Unit::ratio("m", decimal(100, 0), ONE),
    Unit::ratio("[in_i]", decimal(254, 2), ONE),
    Unit::ratio("in", decimal(254, 2), ONE),
    Unit::ratio("[ft_i]", decimal(3_048, 2), ONE),
];
const DISTANCE: &[Unit] = &[
    Unit::same("m"),
    Unit::ratio("km", decimal(1_000, 0), ONE),
    Unit::ratio("[mi_i]", decimal(1_609_344, 3), ONE),
    Unit::ratio("mi", decimal(1_609_344, 3), ONE),
];
const DURATION: &[Unit] = &[
    Unit::same("min"),
    Unit::ratio("s", ONE, decimal(60, 0)),
    Unit::ratio("sec", ONE, decimal(60, 0)),
    Unit::ratio("h", decimal(60, 0), ONE),
];
const MILLISECONDS: &[Unit] = &[Unit::same("ms"), Unit::ratio("s", decimal(1_000, 0), ONE)];
const ENERGY: &[Unit] = &[
    Unit::same("kcal"),
    Unit::ratio("kJ", decimal(1_000, 0), decimal(4_184, 0)),
    Unit::ratio("cal", decimal(1, 3), ONE),
];
const STEPS: &[Unit] = &[Unit::same("{steps}"), Unit::same("steps"), Unit::same("1"), Unit::same("count")];
const BODY_MASS_INDEX: &[Unit] = &[Unit::same("kg/m2"), Unit::same("kg/m^2")];
const FLOW: &[Unit] = &[Unit::same("L/min"), Unit::ratio("L/s", decimal(60, 0), ONE)];
const VOLUME: &[Unit] = &[Unit::same("L"), Unit::ratio("mL", decimal(1, 3), ONE)];
const OXYGEN_UPTAKE: &[Unit] = &[Unit::same("mL/kg/min"), Unit::same("mL/min/kg"), Unit::same("mL/(kg.min)")];
const RATIO: &[Unit] = &[Unit::same("{INR}"), Unit::same("1")];
const GLUCOSE_UNITS: &[Unit] = &[Unit::same("mmol/L"), Unit::ratio("mg/dL", ONE, GLUCOSE)];
const CHOLESTEROL_UNITS: &[Unit] = &[Unit::same("mmol/L"), Unit::ratio("mg/dL", ONE, CHOLESTEROL)];
const CREATININE_UNITS: &[Unit] = &[
    Unit::same("umol/L"),
    Unit::same("µmol/L"),
    Unit::ratio("mmol/L", decimal(1_000, 0), ONE),
    Unit::ratio("mg/dL", decimal(1_000, 0), CREATININE),
];
/// HbA1c in the NGSP's percent; from the IFCC's mmol/mol by the master equation 0.09148 * IFCC + 2.152.
const HBA1C_UNITS: &[Unit] =
    &[Unit::same("%"), Unit::shifted("mmol/mol", decimal(9_148, 5), decimal(2_152, 3), ONE)];

const fn metric(
    id: i16,
    code: &'static str,
    title: &'static str,
    loinc: &'static str,
    units: &'static [Unit],
    range: (Decimal, Decimal),
) -> Metric {
    Metric { id, code, title, loinc, units, low: range.0, high: range.1 }
}

const fn between(low: i64, high: i64) -> (Decimal, Decimal) {
    (decimal(low, 0), decimal(high, 0))
}

/// All of them, by id.
pub static CATALOGUE: &[Metric] = &[
    metric(1, "heart_rate", "Heart rate", "8867-4", PER_MINUTE, between(10, 400)),
    metric(2, "resting_heart_rate", "Heart rate at rest", "40443-4", PER_MINUTE, between(10, 250)),
    metric(
        3,
        "blood_glucose",
        "Glucose in blood",
        "15074-8",
        GLUCOSE_UNITS,
        (decimal(1, 1), decimal(100, 0)),
    ),
    metric(4, "systolic_blood_pressure", "Systolic blood pressure", "8480-6", PRESSURE, between(30, 350)),
    metric(5, "diastolic_blood_pressure", "Diastolic blood pressure", "8462-4", PRESSURE, between(10, 250)),
    metric(6, "mean_blood_pressure", "Mean blood pressure", "8478-0", PRESSURE, between(15, 300)),
    metric(
        7,
        "oxygen_saturation",
        "Oxygen saturation by pulse oximetry",
        "59408-5",
        PERCENT,
        between(20, 100),
    ),
    metric(8, "body_temperature", "Body temperature", "8310-5", TEMPERATURE, between(20, 47)),
    metric(9, "body_weight", "Body weight", "29463-7", MASS, (decimal(2, 1), decimal(700, 0))),
    metric(10, "body_height", "Body height", "8302-2", LENGTH, between(15, 280)),
    metric(11, "body_mass_index", "Body mass index", "39156-5", BODY_MASS_INDEX, between(5, 250)),
    metric(12, "respiratory_rate", "Respiratory rate", "9279-1", BREATHS, between(1, 150)),
    metric(13, "step_count", "Steps", "55423-8", STEPS, between(0, 200_000)),
    metric(14, "body_fat_percentage", "Body fat", "41982-0", PERCENT, between(1, 90)),
    metric(15, "waist_circumference", "Waist circumference", "8280-0", LENGTH, between(20, 300)),
    metric(16, "sleep_duration", "Sleep duration", "93832-4", DURATION, between(0, 10_080)),
    metric(17, "peak_expiratory_flow", "Peak expiratory flow", "33452-4", FLOW, between(10, 1_200)),
    metric(
        18,
        "forced_expiratory_volume",
        "Forced expiratory volume in 1 s",
        "20150-9",
        VOLUME,
        (decimal(1, 1), decimal(10, 0)),
    ),
    metric(19, "hba1c", "Haemoglobin A1c", "4548-4", HBA1C_UNITS, between(2, 25)),
    metric(
        20,
        "total_cholesterol",
        "Cholesterol in serum or plasma",
        "14647-2",
        CHOLESTEROL_UNITS,
        (decimal(5, 1), decimal(50, 0)),
    ),
    metric(21, "creatinine", "Creatinine in serum or plasma", "14682-9", CREATININE_UNITS, between(5, 5_000)),
    metric(
        22,
        "heart_rate_variability",
        "R-R interval's standard deviation (SDNN)",
        "80404-7",
        MILLISECONDS,
        between(0, 1_000),
    ),
    metric(23, "walking_distance", "Distance walked", "55430-3", DISTANCE, between(0, 300_000)),
    metric(24, "calories_burned", "Energy burned", "41981-2", ENERGY, between(0, 50_000)),
    metric(25, "vo2_max", "Oxygen uptake per body weight", "94122-9", OXYGEN_UPTAKE, between(5, 110)),
    metric(26, "inr", "INR", "34714-6", RATIO, (decimal(1, 1), decimal(30, 0))),
];

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn every_metric_has_its_own_id_name_and_loinc_code() {
        let ids: HashSet<_> = CATALOGUE.iter().map(|m| m.id).collect();
        let codes: HashSet<_> = CATALOGUE.iter().map(|m| m.code).collect();
        let loinc: HashSet<_> = CATALOGUE.iter().map(|m| m.loinc).collect();
        assert_eq!([ids.len(), codes.len(), loinc.len()], [CATALOGUE.len(); 3]);
        for metric in CATALOGUE {
            assert_eq!(
                metric.units[0],
                Unit::same(metric.unit()),
                "{}: the canonical unit comes first",
                metric.code
            );
            assert!(metric.low < metric.high, "{}", metric.code);
        }
    }

    #[test]
    fn every_loinc_code_has_the_right_check_digit() {
        for metric in CATALOGUE {
            let (digits, check) = metric.loinc.split_once('-').unwrap();
            let sum: u32 = digits
                .chars()
                .rev()
                .enumerate()
                .map(|(i, c)| {
                    let doubled = c.to_digit(10).unwrap() * if i % 2 == 0 { 2 } else { 1 };
                    doubled / 10 + doubled % 10
                })
                .sum();
            assert_eq!((10 - sum % 10) % 10, check.parse::<u32>().unwrap(), "{}", metric.loinc);
        }
    }

    #[test]
    fn glucose_goes_from_mass_to_amount_by_its_own_molar_mass() {
        let glucose = Metric::find("blood_glucose").unwrap();
        let mg = glucose.unit_named("mg/dL").unwrap();
        assert_eq!(mg.to_canonical(decimal(95, 0)).unwrap().to_string(), "5.273207664");
        assert_eq!(mg.to_canonical(decimal(180_156, 3)).unwrap().to_string(), "10");
        let cholesterol = Metric::find("total_cholesterol").unwrap().unit_named("mg/dL").unwrap();
        assert_eq!(cholesterol.to_canonical(decimal(200, 0)).unwrap().round_dp(2).to_string(), "5.17");
        let creatinine = Metric::find("creatinine").unwrap().unit_named("mg/dL").unwrap();
        assert_eq!(creatinine.to_canonical(decimal(1, 0)).unwrap().round_dp(1).to_string(), "88.4");
    }
}
