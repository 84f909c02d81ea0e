//! What a value is to every encoding: the traits between the descriptions and the protocols.

use super::catalog::TypeDoc;
use super::error::ThriftError;

#[cfg(test)]
use crate::base::rng::Rng;

/// The result of reading.
pub type Read<T> = Result<T, ThriftError>;

/// Collections and structs inside each other deeper than this are refused.
pub const MAX_DEPTH: usize = 64;

/// The wire types of Thrift, numbered as in the binary protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// True or false.
    Bool = 2,
    /// Eight bits, signed.
    Byte = 3,
    /// IEEE 754, 64 bits.
    Double = 4,
    /// 16 bits, signed.
    I16 = 6,
    /// 32 bits, signed; enums too.
    I32 = 8,
    /// 64 bits, signed.
    I64 = 10,
    /// Text or bytes.
    String = 11,
    /// Structs and unions.
    Struct = 12,
    /// Keys and values.
    Map = 13,
    /// A collection whose order means nothing.
    Set = 14,
    /// A collection in order.
    List = 15,
}

impl Kind {
    /// The type with the binary protocol's `number`.
    pub const fn from_number(number: u8) -> Option<Self> {
        Some(match number {
            2 => Self::Bool,
            3 => Self::Byte,
            4 => Self::Double,
            6 => Self::I16,
            8 => Self::I32,
            10 => Self::I64,
            11 => Self::String,
            12 => Self::Struct,
            13 => Self::Map,
            14 => Self::Set,
            15 => Self::List,
            _ => return None,
        })
    }

    /// The name in errors.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Bool => "bool",
            Self::Byte => "byte",
            Self::Double => "double",
            Self::I16 => "i16",
            Self::I32 => "i32",
            Self::I64 => "i64",
            Self::String => "string",
            Self::Struct => "struct",
            Self::Map => "map",
            Self::Set => "set",
            Self::List => "list",
        }
    }
}

/// One field of a struct, argument list or union, as described.
#[derive(Clone, Copy, Debug)]
pub struct FieldInfo {
    /// The number on the wire.
    pub id: i16,
    /// The name in the interface description.
    pub name: &'static str,
    /// The wire type.
    pub kind: Kind,
}

/// A field that a reader met.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FieldHead {
    /// The number; `None` for a name that the description does not have (plain JSON only).
    pub id: Option<i16>,
    /// The wire type; `None` where the encoding does not tell (plain JSON only).
    pub kind: Option<Kind>,
}

/// Something that values are written to. Writing cannot fail: the bytes go to memory.
pub trait Output {
    /// Starts a struct or union.
    fn struct_begin(&mut self);
    /// Ends it.
    fn struct_end(&mut self);
    /// Starts a union; the member that is set follows as a field, if there is one.
    fn union_begin(&mut self) {
        self.struct_begin();
    }
    /// Ends it; `member` is the name of what is set.
    fn union_end(&mut self, _member: Option<&'static str>) {
        self.struct_end();
    }
    /// Starts a field; its value follows.
    fn field_begin(&mut self, id: i16, name: &'static str, kind: Kind);
    /// Ends it.
    fn field_end(&mut self);
    /// Starts a list or set ([`Kind::List`], [`Kind::Set`]) of `len` elements.
    fn seq_begin(&mut self, kind: Kind, element: Kind, len: usize);
    /// Comes before each element.
    fn seq_element(&mut self);
    /// Ends a list or set.
    fn seq_end(&mut self);
    /// Starts a map from strings to `len` values.
    fn map_begin(&mut self, value: Kind, len: usize);
    /// Writes a key; its value follows.
    fn map_key(&mut self, key: &str);
    /// Ends a map.
    fn map_end(&mut self);
    /// Writes a value.
    fn bool(&mut self, value: bool);
    /// Writes a value.
    fn i32(&mut self, value: i32);
    /// Writes a value.
    fn i64(&mut self, value: i64);
    /// Writes a value.
    fn double(&mut self, value: f64);
    /// Writes a value.
    fn string(&mut self, value: &str);
    /// Writes a member of an enum: the number, or in plain JSON the name.
    fn member(&mut self, name: &'static str, number: i32);
}

/// Something that values are read from. Every method fails on bytes that do not fit, naming the place.
pub trait Input {
    /// The next byte's offset, for errors.
    fn offset(&self) -> usize;
    /// Enters a struct or union.
    fn struct_begin(&mut self) -> Read<()>;
    /// The next field of the struct that was entered last; `None` leaves the struct.
    fn field_begin(&mut self, fields: &'static [FieldInfo]) -> Read<Option<FieldHead>>;
    /// Comes after each field's value.
    fn field_end(&mut self) -> Read<()>;
    /// Enters a list or set; its elements must be of the kind `element`.
    fn seq_begin(&mut self, element: Kind) -> Read<()>;
    /// True if another element follows; false leaves the collection.
    fn seq_next(&mut self) -> Read<bool>;
    /// Enters a map from strings; its values must be of the kind `value`.
    fn map_begin(&mut self, value: Kind) -> Read<()>;
    /// The next key, whose value follows; `None` leaves the map.
    fn map_next(&mut self) -> Read<Option<String>>;
    /// Reads a value.
    fn bool(&mut self) -> Read<bool>;
    /// Reads a value.
    fn i32(&mut self) -> Read<i32>;
    /// Reads a value.
    fn i64(&mut self) -> Read<i64>;
    /// Reads a value.
    fn double(&mut self) -> Read<f64>;
    /// Reads a value.
    fn string(&mut self) -> Read<String>;
    /// Reads a member of an enum as its number; `None` for a name that `members` does not have.
    fn member(&mut self, members: &'static [(&'static str, i32)]) -> Read<Option<i32>>;
    /// Passes over a value.
    fn skip(&mut self, kind: Option<Kind>) -> Read<()>;
    /// Accounts for `bytes` of memory before they are allocated; fails when a small input asks for
    /// a lot of memory.
    fn charge(&mut self, bytes: usize) -> Read<()>;
}

/// A value that every encoding can carry.
pub trait Value: Sized {
    /// What it is, for those who read about the interface.
    const DOC: TypeDoc;
    /// The wire type.
    const KIND: Kind;

    /// Writes the value.
    fn write(&self, out: &mut dyn Output);

    /// Reads a value.
    ///
    /// # Errors
    ///
    /// When the bytes are not such a value.
    fn read(input: &mut dyn Input) -> Read<Self>;

    /// Reads the value of an optional field: a member that an enum does not have counts as unset.
    ///
    /// # Errors
    ///
    /// When the bytes are not such a value.
    fn read_optional(input: &mut dyn Input) -> Read<Option<Self>> {
        Self::read(input).map(Some)
    }

    /// Some value, for tests.
    #[cfg(test)]
    fn sample(rng: &mut Rng) -> Self;
}

macro_rules! primitive {
    ($($ty:ty, $kind:ident, $method:ident, $sample:expr;)+) => { $(
        impl Value for $ty {
            const DOC: TypeDoc = TypeDoc::$kind;
            const KIND: Kind = Kind::$kind;

            fn write(&self, out: &mut dyn Output) {
                out.$method(*self);
            }

            fn read(input: &mut dyn Input) -> Read<Self> {
                input.$method()
            }

            #[cfg(test)]
            fn sample(rng: &mut Rng) -> Self {
                let sample: fn(&mut Rng) -> Self = $sample;
                sample(rng)
            }
        }
    )+ };
}

primitive! {
    bool, Bool, bool, |rng| rng.one_in(2);
    i32, I32, i32, |rng| match rng.below(4) {
        0 => [0, -1, i32::MIN, i32::MAX][rng.index(4)],
        1 => i32::try_from(rng.below(300)).unwrap_or(0),
        _ => rng.next_u64() as i32,
    };
    i64, I64, i64, |rng| match rng.below(4) {
        0 => [0, -1, i64::MIN, i64::MAX][rng.index(4)],
        1 => i64::try_from(rng.below(300)).unwrap_or(0),
        _ => rng.next_u64() as i64,
    };
    f64, Double, double, |rng| match rng.below(3) {
        0 => [0.0, -0.0, 1e300, -1.5e-300, f64::MAX, f64::MIN_POSITIVE][rng.index(6)],
        _ => rng.unit() * 1000.0,
    };
}

impl Value for String {
    const DOC: TypeDoc = TypeDoc::String;
    const KIND: Kind = Kind::String;

    fn write(&self, out: &mut dyn Output) {
        out.string(self);
    }

    fn read(input: &mut dyn Input) -> Read<Self> {
        input.string()
    }

    #[cfg(test)]
    fn sample(rng: &mut Rng) -> Self {
        const ALPHABET: [&str; 12] = [
            "a", "Z", "0", "\"", "\\", "\n", "\u{1}", "é", "\u{2028}", "𝄞", "/", "</",
        ];
        (0..rng.below(9))
            .map(|_| ALPHABET[rng.index(ALPHABET.len())])
            .collect()
    }
}

impl<T: Value> Value for Box<T> {
    const DOC: TypeDoc = T::DOC;
    const KIND: Kind = T::KIND;

    fn write(&self, out: &mut dyn Output) {
        self.as_ref().write(out);
    }

    fn read(input: &mut dyn Input) -> Read<Self> {
        input.charge(size_of::<T>())?;
        T::read(input).map(Self::new)
    }

    #[cfg(test)]
    fn sample(rng: &mut Rng) -> Self {
        Self::new(T::sample(rng))
    }
}

/// The next field that `fields` describes; others are passed over.
///
/// # Errors
///
/// When a described field has another wire type: dropping it quietly, as Apache's generated code does,
/// could turn "kill these instances" into "kill all".
pub fn next_field(
    input: &mut dyn Input,
    fields: &'static [FieldInfo],
) -> Read<Option<&'static FieldInfo>> {
    while let Some(head) = input.field_begin(fields)? {
        let known = fields.iter().find(|field| Some(field.id) == head.id);
        match known {
            Some(field) if head.kind.is_none_or(|kind| kind == field.kind) => {
                return Ok(Some(field));
            }
            Some(field) => {
                let found = head.kind.map_or("nothing", Kind::name);
                let reason = format!("expected {}, found {found}", field.kind.name());
                return Err(ThriftError::new(input.offset(), reason).in_field(field.name));
            }
            None => {
                input.skip(head.kind)?;
                input.field_end()?;
            }
        }
    }
    Ok(None)
}
