//! Every kind of problem that a manifest can have. Ids are never used again.

use crate::problem::Code;

/// Declares the codes, and [`ALL`] of them.
macro_rules! codes {
    ($($name:ident = $id:literal $meaning:literal)+) => {
        $(
            #[doc = $meaning]
            pub const $name: Code = Code { id: $id, meaning: $meaning };
        )+

        /// All codes, by id.
        pub const ALL: &[Code] = &[$($name),+];
    };
}

codes! {
    NOT_TEXT = "E0001" "The file is not UTF-8 text, or holds a NUL character."
    TOO_LARGE = "E0002" "The file, an object or the number of problems is above its limit."
    SYNTAX = "E0003" "The text is not YAML."
    TAB = "E0004" "A tab stands where YAML wants spaces."
    TOO_DEEP = "E0005" "Lists and mappings are nested more than 32 deep."
    DUPLICATE_KEY = "E0006" "A key comes twice in one mapping."
    YAML_FEATURE = "E0007" "Anchors, aliases, merge keys, tags and directives are not part of the format."
    NOT_A_MANIFEST = "E0101" "The document is not an object with apiVersion, kind, metadata and spec."
    UNKNOWN_KIND = "E0102" "There is no such kind."
    READ_ONLY_KIND = "E0103" "Objects of this kind are written by controllers only."
    KIND_NOT_SUPPORTED = "E0104" "The kind is not supported by this version yet."
    MISSING_FIELD = "E0105" "A field that must be there is missing."
    WRONG_TYPE = "E0106" "A value has the wrong type, such as text where a number is wanted."
    UNKNOWN_FIELD = "E0107" "There is no such field."
    NOT_SUPPORTED = "E0108" "The field is part of the format, but this version does not act on it yet."
    NO_VALUE = "E0109" "A field is written without a value."
    UNKNOWN_VALUE = "E0121" "The value is none of those that the field can have."
    MALFORMED = "E0122" "The text does not have the form that the field wants, such as a duration."
    OUT_OF_RANGE = "E0123" "The number is too small or too large."
    DUPLICATE_OBJECT = "E0201" "Two documents of one set of files describe the same object, or claim the same name."
    DUPLICATE_ITEM = "E0202" "Two items of a list exclude each other, such as two mounts at one path."
    CONFLICT = "E0204" "Two fields do not go together."
    BAD_CONSTRAINT = "E0205" "A placement constraint does not have one of the forms that there are, such as `key == value` or `key in (a, b)`."
    BAD_IMAGE = "E0206" "The image is not a reference such as nginx:1.27."
    BAD_PATH = "E0207" "A path is not absolute, or holds `..`."
    TOO_SMALL = "E0208" "An amount of CPU or memory is below what a container can be given."
    LIMIT = "E0209" "There are more labels, or longer ones, than allowed."
    BAD_TEMPLATE = "E0210" "A template such as {{.Task.Slot}} is not closed, or names what there is not."
    BAD_LEVEL = "E0211" "A level of `spread` or of an affinity is no property that nodes have."
    STATUS_IGNORED = "W0301" "A status is written by controllers; what a manifest says of it is ignored."
    NEVER_MATCHES = "W0302" "A constraint names a property or a value that no node has, so no node will match."
    MORE_WARNINGS = "W0303" "There are more warnings than are shown."
}

#[cfg(test)]
mod tests {
    use super::ALL;

    #[test]
    fn ids_are_unique_and_in_order() {
        assert!(ALL.windows(2).all(|pair| pair[0].id < pair[1].id));
    }
}
