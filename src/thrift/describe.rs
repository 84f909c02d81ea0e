//! The macros in which the interface is described: one description, every encoding.
//!
//! A field reads `ID rust_name "idlName": SHAPE Type`, with the shapes of [`super::shape`].

/// The Rust type of a field.
macro_rules! shape_type {
    (plain $ty:ty) => { $ty };
    (opt $ty:ty) => { Option<$ty> };
    (list $ty:ty) => { Vec<$ty> };
    (set $ty:ty) => { Vec<$ty> };
    (map $ty:ty) => { std::collections::BTreeMap<String, $ty> };
}

/// The wire type of a field.
macro_rules! shape_kind {
    (plain $ty:ty) => {
        <$ty as crate::thrift::value::Value>::KIND
    };
    (opt $ty:ty) => {
        <$ty as crate::thrift::value::Value>::KIND
    };
    (list $ty:ty) => {
        crate::thrift::value::Kind::List
    };
    (set $ty:ty) => {
        crate::thrift::value::Kind::Set
    };
    (map $ty:ty) => {
        crate::thrift::value::Kind::Map
    };
}

/// The collection that a field is.
macro_rules! shape_doc {
    (plain) => {
        None
    };
    (opt) => {
        None
    };
    (list) => {
        Some(crate::thrift::catalog::Collection::List)
    };
    (set) => {
        Some(crate::thrift::catalog::Collection::Set)
    };
    (map) => {
        Some(crate::thrift::catalog::Collection::Map)
    };
}

/// The value of a field that was never set.
macro_rules! shape_default {
    () => {
        Default::default()
    };
    ($default:expr) => {
        $default
    };
}

/// Some value of a field, for tests; one with a default is never unset, since unset reads as default.
#[cfg(test)]
macro_rules! shape_sample {
    ($shape:ident $ty:ty, $rng:ident) => {
        crate::thrift::shape::$shape::sample::<$ty>($rng)
    };
    (opt $ty:ty, $rng:ident, $default:expr) => {
        Some(<$ty as crate::thrift::value::Value>::sample($rng))
    };
}

/// Structs with their fields.
macro_rules! thrift_struct {
    ($(
        $(#[$meta:meta])*
        $name:ident { $(
            $id:literal $field:ident $idl:literal : $shape:ident $ty:ty $(= $default:expr)?
        ),* $(,)? }
    )+) => { $(
        $(#[$meta])*
        #[derive(Clone, Debug, PartialEq)]
        pub struct $name { $(
            #[doc = concat!("Field ", $id, ", `", $idl, "`.")]
            pub $field: crate::thrift::describe::shape_type!($shape $ty),
        )* }

        impl Default for $name {
            fn default() -> Self {
                Self { $( $field: crate::thrift::describe::shape_default!($($default)?), )* }
            }
        }

        impl crate::thrift::value::Value for $name {
            const DOC: crate::thrift::catalog::TypeDoc =
                crate::thrift::catalog::TypeDoc::Struct(&crate::thrift::catalog::StructDoc {
                    rust_name: stringify!($name),
                    is_union: false,
                    fields: &[ $( crate::thrift::catalog::FieldDoc {
                        id: $id,
                        name: $idl,
                        collection: crate::thrift::describe::shape_doc!($shape),
                        of: <$ty as crate::thrift::value::Value>::DOC,
                    }, )* ],
                });
            const KIND: crate::thrift::value::Kind = crate::thrift::value::Kind::Struct;

            fn write(&self, out: &mut dyn crate::thrift::value::Output) {
                out.struct_begin();
                $( crate::thrift::shape::$shape::write(&self.$field, $id, $idl, out); )*
                out.struct_end();
            }

            fn read(
                input: &mut dyn crate::thrift::value::Input,
            ) -> crate::thrift::value::Read<Self> {
                const FIELDS: &[crate::thrift::value::FieldInfo] = &[ $(
                    crate::thrift::value::FieldInfo {
                        id: $id,
                        name: $idl,
                        kind: crate::thrift::describe::shape_kind!($shape $ty),
                    },
                )* ];
                let mut value = Self::default();
                input.struct_begin()?;
                while let Some(field) = crate::thrift::value::next_field(input, FIELDS)? {
                    match field.id {
                        $( $id => {
                            value.$field = crate::thrift::shape::$shape::read::<$ty>(input)
                                .map_err(|error| error.in_field($idl))?;
                        } )*
                        other => unreachable!("field {other} is not in FIELDS"),
                    }
                    input.field_end()?;
                }
                Ok(value)
            }

            #[cfg(test)]
            fn sample(rng: &mut crate::base::rng::Rng) -> Self {
                Self { $( $field: crate::thrift::describe::shape_sample!(
                    $shape $ty, rng $(, $default)?
                ), )* }
            }
        }
    )+ };
}

/// Unions: exactly one member is set. One with `or` may also hold none that is known.
macro_rules! thrift_union {
    ($(
        $(#[$meta:meta])*
        $name:ident $( or $unknown:ident )? {
            $( $id:literal $variant:ident $idl:literal : $ty:ty ),* $(,)?
        }
    )+) => { $(
        $(#[$meta])*
        #[derive(Clone, Debug, PartialEq)]
        pub enum $name {
            $(
                #[doc = concat!("Field ", $id, ", `", $idl, "`.")]
                $variant($ty),
            )*
            $(
                #[doc = "No member that is known here."]
                $unknown,
            )?
        }

        impl crate::thrift::value::Value for $name {
            const DOC: crate::thrift::catalog::TypeDoc =
                crate::thrift::catalog::TypeDoc::Struct(&crate::thrift::catalog::StructDoc {
                    rust_name: stringify!($name),
                    is_union: true,
                    fields: &[ $( crate::thrift::catalog::FieldDoc {
                        id: $id,
                        name: $idl,
                        collection: None,
                        of: <$ty as crate::thrift::value::Value>::DOC,
                    }, )* ],
                });
            const KIND: crate::thrift::value::Kind = crate::thrift::value::Kind::Struct;

            fn write(&self, out: &mut dyn crate::thrift::value::Output) {
                out.union_begin();
                let member = match self {
                    $(
                        Self::$variant(value) => {
                            crate::thrift::shape::plain::write(value, $id, $idl, out);
                            Some($idl)
                        }
                    )*
                    $( Self::$unknown => None, )?
                };
                out.union_end(member);
            }

            fn read(
                input: &mut dyn crate::thrift::value::Input,
            ) -> crate::thrift::value::Read<Self> {
                const FIELDS: &[crate::thrift::value::FieldInfo] = &[ $(
                    crate::thrift::value::FieldInfo {
                        id: $id,
                        name: $idl,
                        kind: <$ty as crate::thrift::value::Value>::KIND,
                    },
                )* ];
                let start = input.offset();
                let mut value = None;
                input.struct_begin()?;
                while let Some(field) = crate::thrift::value::next_field(input, FIELDS)? {
                    if value.is_some() {
                        let reason = concat!("several members of union ", stringify!($name));
                        return Err(crate::thrift::error::ThriftError::new(start, reason));
                    }
                    value = Some(match field.id {
                        $( $id => crate::thrift::value::Value::read(input)
                            .map(Self::$variant)
                            .map_err(|error| error.in_field($idl))?, )*
                        other => unreachable!("field {other} is not in FIELDS"),
                    });
                    input.field_end()?;
                }
                let value = value$( .or(Some(Self::$unknown)) )?;
                value.ok_or_else(|| {
                    let reason = concat!("no known member of union ", stringify!($name));
                    crate::thrift::error::ThriftError::new(start, reason)
                })
            }

            #[cfg(test)]
            fn sample(rng: &mut crate::base::rng::Rng) -> Self {
                let makers: &[fn(&mut crate::base::rng::Rng) -> Self] = &[ $(
                    |rng| Self::$variant(crate::thrift::value::Value::sample(rng)),
                )* ];
                makers[rng.index(makers.len())](rng)
            }
        }
    )+ };
}

/// Enums with their names and numbers.
macro_rules! thrift_enum {
    ($(
        $(#[$meta:meta])*
        $name:ident { $( $variant:ident $idl:literal = $number:literal ),* $(,)? }
    )+) => { $(
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum $name { $(
            #[doc = concat!("`", $idl, "`, number ", $number, ".")]
            $variant = $number,
        )* }

        impl $name {
            /// All members, in the order of the interface description.
            pub const ALL: &[Self] = &[ $( Self::$variant, )* ];

            const MEMBERS: &[(&str, i32)] = &[ $( ($idl, $number), )* ];

            /// The number on the wire.
            pub const fn number(self) -> i32 {
                self as i32
            }

            /// The name in the interface description.
            pub const fn name(self) -> &'static str {
                match self { $( Self::$variant => $idl, )* }
            }

            /// The member with this number.
            pub const fn from_number(number: i32) -> Option<Self> {
                match number {
                    $( $number => Some(Self::$variant), )*
                    _ => None,
                }
            }

            /// The member with this name, as it is written in the interface description.
            pub fn from_name(name: &str) -> Option<Self> {
                match name {
                    $( $idl => Some(Self::$variant), )*
                    _ => None,
                }
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.name())
            }
        }

        impl crate::thrift::value::Value for $name {
            const DOC: crate::thrift::catalog::TypeDoc =
                crate::thrift::catalog::TypeDoc::Enum(&crate::thrift::catalog::EnumDoc {
                    name: stringify!($name),
                    members: Self::MEMBERS,
                });
            const KIND: crate::thrift::value::Kind = crate::thrift::value::Kind::I32;

            fn write(&self, out: &mut dyn crate::thrift::value::Output) {
                out.member(self.name(), self.number());
            }

            fn read(
                input: &mut dyn crate::thrift::value::Input,
            ) -> crate::thrift::value::Read<Self> {
                let offset = input.offset();
                <Self as crate::thrift::value::Value>::read_optional(input)?.ok_or_else(|| {
                    let reason = concat!("unknown member of enum ", stringify!($name));
                    crate::thrift::error::ThriftError::new(offset, reason)
                })
            }

            fn read_optional(
                input: &mut dyn crate::thrift::value::Input,
            ) -> crate::thrift::value::Read<Option<Self>> {
                Ok(input.member(Self::MEMBERS)?.and_then(Self::from_number))
            }

            #[cfg(test)]
            fn sample(rng: &mut crate::base::rng::Rng) -> Self {
                Self::ALL[rng.index(Self::ALL.len())]
            }
        }
    )+ };
}

#[cfg(test)]
pub(in crate::thrift) use shape_sample;
pub(in crate::thrift) use {
    shape_default, shape_doc, shape_kind, shape_type, thrift_enum, thrift_struct, thrift_union,
};
