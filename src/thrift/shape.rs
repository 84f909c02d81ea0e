//! How a field holds its value in memory, and when it is written.
//!
//! Upstream's server loses the difference between unset and default for primitives, and between unset
//! and empty for collections; so do these shapes. Only strings, enums, structs and unions can be unset.

/// Bool, number: a plain value, always written; unset is the default.
pub mod plain {
    use crate::thrift::value::{Input, Output, Read, Value};

    /// Writes the field.
    pub fn write<T: Value>(value: &T, id: i16, name: &'static str, out: &mut dyn Output) {
        out.field_begin(id, name, T::KIND);
        value.write(out);
        out.field_end();
    }

    /// Reads the value.
    pub fn read<T: Value>(input: &mut dyn Input) -> Read<T> {
        T::read(input)
    }

    #[cfg(test)]
    pub fn sample<T: Value>(rng: &mut crate::base::rng::Rng) -> T {
        T::sample(rng)
    }
}

/// String, enum, struct, union: `Option`, written if set.
pub mod opt {
    use crate::thrift::value::{Input, Output, Read, Value};

    /// Writes the field if it is set.
    pub fn write<T: Value>(value: &Option<T>, id: i16, name: &'static str, out: &mut dyn Output) {
        if let Some(value) = value {
            super::plain::write(value, id, name, out);
        }
    }

    /// Reads the value.
    pub fn read<T: Value>(input: &mut dyn Input) -> Read<Option<T>> {
        T::read_optional(input)
    }

    #[cfg(test)]
    pub fn sample<T: Value>(rng: &mut crate::base::rng::Rng) -> Option<T> {
        if rng.one_in(3) {
            None
        } else {
            Some(T::sample(rng))
        }
    }
}

fn write_seq<T: crate::thrift::value::Value>(
    values: &[T],
    kind: crate::thrift::value::Kind,
    (id, name): (i16, &'static str),
    out: &mut dyn crate::thrift::value::Output,
) {
    out.field_begin(id, name, kind);
    out.seq_begin(kind, T::KIND, values.len());
    for value in values {
        out.seq_element();
        value.write(out);
    }
    out.seq_end();
    out.field_end();
}

/// List: `Vec`, always written; unset is empty.
pub mod list {
    use crate::thrift::value::{Input, Kind, Output, Read, Value};

    /// Writes the field.
    pub fn write<T: Value>(values: &[T], id: i16, name: &'static str, out: &mut dyn Output) {
        super::write_seq(values, Kind::List, (id, name), out);
    }

    /// Reads the elements in their order.
    pub fn read<T: Value>(input: &mut dyn Input) -> Read<Vec<T>> {
        input.seq_begin(T::KIND)?;
        let mut values = Vec::new();
        while input.seq_next()? {
            input.charge(size_of::<T>())?;
            let value = T::read(input).map_err(|error| error.in_element(values.len()))?;
            values.push(value);
        }
        Ok(values)
    }

    #[cfg(test)]
    pub fn sample<T: Value>(rng: &mut crate::base::rng::Rng) -> Vec<T> {
        let most = if rng.one_in(20) { 20 } else { 3 };
        (0..rng.below(most)).map(|_| T::sample(rng)).collect()
    }
}

/// Set: `Vec` in the order received, always written; unset is empty. Equal members may repeat.
pub mod set {
    use crate::thrift::value::{Kind, Output, Value};

    pub use super::list::read;
    #[cfg(test)]
    pub use super::list::sample;

    /// Writes the field.
    pub fn write<T: Value>(values: &[T], id: i16, name: &'static str, out: &mut dyn Output) {
        super::write_seq(values, Kind::Set, (id, name), out);
    }
}

/// Map from strings: `BTreeMap`, always written; unset is empty.
pub mod map {
    use crate::thrift::value::{Input, Kind, Output, Read, Value};
    use std::collections::BTreeMap;

    /// Writes the field.
    pub fn write<T: Value>(
        values: &BTreeMap<String, T>,
        id: i16,
        name: &'static str,
        out: &mut dyn Output,
    ) {
        out.field_begin(id, name, Kind::Map);
        out.map_begin(T::KIND, values.len());
        for (key, value) in values {
            out.map_key(key);
            value.write(out);
        }
        out.map_end();
        out.field_end();
    }

    /// Reads the entries; of equal keys the last counts.
    pub fn read<T: Value>(input: &mut dyn Input) -> Read<BTreeMap<String, T>> {
        input.map_begin(T::KIND)?;
        let mut values = BTreeMap::new();
        let mut index = 0;
        while let Some(key) = input.map_next()? {
            input.charge(size_of::<(String, T)>())?;
            let value = T::read(input).map_err(|error| error.in_element(index))?;
            values.insert(key, value);
            index += 1;
        }
        Ok(values)
    }

    #[cfg(test)]
    pub fn sample<T: Value>(rng: &mut crate::base::rng::Rng) -> BTreeMap<String, T> {
        (0..rng.below(4))
            .map(|_| (String::sample(rng), T::sample(rng)))
            .collect()
    }
}
