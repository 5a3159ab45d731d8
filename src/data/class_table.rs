//! Classes: ids, names and colours of a label set, and mappings from one set to another.
//!
//! A table is a TOML file (`config/classes/*.toml`). The two that the program ships are built in:
//!
//! ```
//! use segfuse::data::ClassTable;
//! let cityscapes = ClassTable::cityscapes();
//! let camvid = ClassTable::camvid();
//! let mapping = camvid.mapping_from(&cityscapes)?;
//! let rider = cityscapes.by_name("rider").expect("Cityscapes has riders").id;
//! assert_eq!(camvid.name_of(mapping.map(rider)), Some("bicyclist"));
//! # Ok::<(), segfuse::data::ClassTableError>(())
//! ```

use super::UNLABELED;
use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_64;

/// The names that [`ClassTable::builtin`] knows.
const BUILTIN: [(&str, &str); 2] = [
    ("cityscapes", include_str!("../../config/classes/cityscapes.toml")),
    ("camvid", include_str!("../../config/classes/camvid.toml")),
];

/// One class.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Class {
    /// The id in masks of this table (for Cityscapes: the train id).
    pub id: u8,
    /// The class's name, unique in its table.
    pub name: String,
    /// Red, green, blue in pictures.
    pub color: [u8; 3],
    /// The id in the data set's own label files, where it differs from `id`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dataset_id: Option<u8>,
    /// Names of the classes of the table `from` that count as this one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub covers: Vec<String>,
}

/// A label set.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClassTable {
    /// The set's name.
    pub name: String,
    /// Ids that stand for "no class" besides 255.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ignored: Vec<u8>,
    /// Name of the table that `covers` speaks of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// The classes, in order of id.
    #[serde(rename = "class")]
    classes: Vec<Class>,
}

/// Why a class table cannot be used. Recovery: mend the file.
#[derive(Debug, thiserror::Error)]
pub enum ClassTableError {
    /// Not TOML, or keys that a table does not have.
    #[error("class table: {0}")]
    Syntax(#[from] toml::de::Error),
    /// Contradictions inside the table.
    #[error("class table '{table}': {fault}")]
    Table {
        /// The table's name.
        table: String,
        /// What contradicts what.
        fault: String,
    },
    /// Not a built-in table.
    #[error(
        "no class table named '{0}': built in are cityscapes and camvid; a file ending in .toml is read as a table"
    )]
    Unknown(String),
    /// No way from one table to the other.
    #[error(
        "class table '{to}' says nothing of the classes of '{from}': name a table that does, or a .toml file of your own with \
         `from = \"{from}\"` and `covers` lists"
    )]
    NoMapping {
        /// The table mapped from.
        from: String,
        /// The table mapped to.
        to: String,
    },
}

impl ClassTable {
    /// Reads and checks a table.
    pub fn from_toml(text: &str) -> Result<Self, ClassTableError> {
        let table: Self = toml::from_str(text)?;
        table.check().map_err(|fault| ClassTableError::Table { table: table.name.clone(), fault })?;
        Ok(table)
    }

    /// The table as the TOML that [`ClassTable::from_toml`] reads.
    pub fn to_toml(&self) -> String {
        toml::to_string(self).expect("a table has only strings, numbers and lists: TOML writes them all")
    }

    /// The built-in table called `name`.
    pub fn builtin(name: &str) -> Result<Self, ClassTableError> {
        let found = BUILTIN.iter().find(|(known, _)| *known == name);
        let (_, text) = found.ok_or_else(|| ClassTableError::Unknown(name.to_owned()))?;
        Self::from_toml(text)
    }

    /// The 19 Cityscapes train ids.
    pub fn cityscapes() -> Self {
        Self::builtin("cityscapes").expect("the built-in table is checked by this module's tests")
    }

    /// CamVid's 11 classes, each saying which Cityscapes classes it covers.
    pub fn camvid() -> Self {
        Self::builtin("camvid").expect("the built-in table is checked by this module's tests")
    }

    /// The classes in order of id.
    pub fn classes(&self) -> &[Class] {
        &self.classes
    }

    /// The class called `name`.
    pub fn by_name(&self, name: &str) -> Option<&Class> {
        self.classes.iter().find(|class| class.name == name)
    }

    /// The name of class `id`; `None` for unlabeled and unknown ids.
    pub fn name_of(&self, id: u8) -> Option<&str> {
        self.class(id).map(|class| class.name.as_str())
    }

    /// Class `id`'s colour; black for unlabeled and unknown ids.
    pub fn color_of(&self, id: u8) -> [u8; 3] {
        self.class(id).map_or([0; 3], |class| class.color)
    }

    /// XXH3-64 of the ids and names, in order: equal exactly when masks mean the same.
    pub fn hash(&self) -> u64 {
        let lines: Vec<String> = self.classes.iter().map(|class| format!("{} {}\n", class.id, class.name)).collect();
        xxh3_64(lines.concat().as_bytes())
    }

    /// How ids of table `from` read in this table: through `covers`, or by equal names in the same table.
    pub fn mapping_from(&self, from: &Self) -> Result<ClassMapping, ClassTableError> {
        let covers = self.from.as_deref() == Some(&from.name);
        if !covers && self.name != from.name {
            return Err(ClassTableError::NoMapping { from: from.name.clone(), to: self.name.clone() });
        }
        let mut ids = [UNLABELED; 256];
        for class in &self.classes {
            for source in from
                .classes
                .iter()
                .filter(|s| if covers { class.covers.contains(&s.name) } else { s.name == class.name })
            {
                ids[usize::from(source.id)] = class.id;
            }
        }
        Ok(ClassMapping { ids })
    }

    /// Reads this table's own ids with every ignored id turned into 255.
    pub fn identity(&self) -> ClassMapping {
        let mut ids = [UNLABELED; 256];
        for class in &self.classes {
            ids[usize::from(class.id)] = class.id;
        }
        ClassMapping { ids }
    }

    fn class(&self, id: u8) -> Option<&Class> {
        self.classes.iter().find(|class| class.id == id)
    }

    fn check(&self) -> Result<(), String> {
        if self.classes.is_empty() {
            return Err("it has no [[class]]".into());
        }
        for (index, class) in self.classes.iter().enumerate() {
            self.check_class(index, class)?;
        }
        Ok(())
    }

    fn check_class(&self, index: usize, class: &Class) -> Result<(), String> {
        let Class { id, name, .. } = class;
        if usize::from(*id) != index {
            return Err(format!("class '{name}' has id {id}, expected {index}: ids count from 0 in order"));
        }
        if *id == UNLABELED || self.ignored.contains(id) {
            return Err(format!("class '{name}' has id {id}, which means unlabeled"));
        }
        let same_name = |other: &&Class| other.name == *name;
        if name.is_empty() || self.classes.iter().filter(same_name).count() > 1 {
            return Err(format!("class {id} is called '{name}': names must be unique and not empty"));
        }
        Ok(())
    }
}

/// How each of 256 ids reads in another table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClassMapping {
    ids: [u8; 256],
}

impl ClassMapping {
    /// What `id` becomes; 255 where the other table has nothing for it.
    pub fn map(&self, id: u8) -> u8 {
        self.ids[usize::from(id)]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shipped_tables_are_sound_and_survive_a_round_trip() {
        for (name, _) in BUILTIN {
            let table = ClassTable::builtin(name).expect(name);
            assert_eq!(table.name, name);
            assert_eq!(ClassTable::from_toml(&table.to_toml()).expect(name), table);
        }
        assert_eq!(ClassTable::cityscapes().classes().len(), 19);
        assert_eq!(ClassTable::camvid().classes().len(), 11);
    }

    #[test]
    fn every_cityscapes_class_has_one_place_in_camvid() {
        let (cityscapes, camvid) = (ClassTable::cityscapes(), ClassTable::camvid());
        let mapping = camvid.mapping_from(&cityscapes).expect("camvid covers cityscapes");
        for class in cityscapes.classes() {
            let covering = camvid.classes().iter().filter(|c| c.covers.contains(&class.name)).count();
            assert_eq!(covering, 1, "{}", class.name);
            assert_ne!(mapping.map(class.id), UNLABELED, "{}", class.name);
        }
        assert_eq!(mapping.map(255), UNLABELED);
        assert_eq!(mapping.map(19), UNLABELED);
    }

    #[test]
    fn tables_that_contradict_themselves_are_refused() {
        let class = |id: u8, name: &str| format!("[[class]]\nid = {id}\nname = \"{name}\"\ncolor = [0, 0, 0]\n");
        for (case, text) in [
            ("no class", "name = \"x\"\n".to_owned()),
            ("gap", format!("name = \"x\"\n{}{}", class(0, "a"), class(2, "b"))),
            ("twin names", format!("name = \"x\"\n{}{}", class(0, "a"), class(1, "a"))),
            ("ignored id", format!("name = \"x\"\nignored = [0]\n{}", class(0, "a"))),
            ("unknown key", format!("name = \"x\"\nhue = 3\n{}", class(0, "a"))),
        ] {
            assert!(ClassTable::from_toml(&text).is_err(), "{case}");
        }
    }

    #[test]
    fn tables_without_a_relation_have_no_mapping() {
        let error = ClassTable::cityscapes()
            .mapping_from(&ClassTable::camvid())
            .expect_err("cityscapes says nothing of camvid");
        assert!(error.to_string().contains("covers"), "{error}");
    }

    #[test]
    fn the_hash_depends_on_meaning_and_not_on_colour() {
        let mut table = ClassTable::cityscapes();
        let hash = table.hash();
        table.classes[0].color = [1, 2, 3];
        assert_eq!(table.hash(), hash);
        table.classes[0].name = "street".into();
        assert_ne!(table.hash(), hash);
    }
}
