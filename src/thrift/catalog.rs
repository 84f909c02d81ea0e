//! What the interface consists of, as data: for its documentation, and for clients in other languages.

use super::api::Response;
use super::service::{Access, Request};
use super::value::Value;
use std::collections::BTreeMap;

/// A type of the interface.
#[derive(Clone, Copy, Debug)]
pub enum TypeDoc {
    /// True or false.
    Bool,
    /// A floating-point number of 64 bits.
    Double,
    /// A member of an enum.
    Enum(&'static EnumDoc),
    /// A whole number of 32 bits.
    I32,
    /// A whole number of 64 bits.
    I64,
    /// Text.
    String,
    /// A struct or union.
    Struct(&'static StructDoc),
}

/// An enum.
#[derive(Debug)]
pub struct EnumDoc {
    /// Its name.
    pub name: &'static str,
    /// The names and numbers of its members.
    pub members: &'static [(&'static str, i32)],
}

/// A struct, or the arguments of a method.
#[derive(Debug)]
pub struct StructDoc {
    /// Its name here.
    pub rust_name: &'static str,
    /// Whether exactly one of the fields is set.
    pub is_union: bool,
    /// Its fields.
    pub fields: &'static [FieldDoc],
}

impl StructDoc {
    /// Its name in the interface description.
    pub fn name(&self) -> &'static str {
        match self.rust_name {
            "MesosFetcherUri" => "MesosFetcherURI",
            "ResponseResult" => "Result",
            name => name,
        }
    }
}

/// A field.
#[derive(Debug)]
pub struct FieldDoc {
    /// Its number.
    pub id: i16,
    /// Its name.
    pub name: &'static str,
    /// The collection that it is of [`FieldDoc::of`]; `None` if it is one such value.
    pub collection: Option<Collection>,
    /// What it is, or what it is a collection of.
    pub of: TypeDoc,
}

/// A kind of collection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Collection {
    /// In order.
    List,
    /// From strings.
    Map,
    /// In no order.
    Set,
}

impl Collection {
    /// The name in the interface description.
    pub const fn name(self) -> &'static str {
        match self {
            Self::List => "list",
            Self::Map => "map",
            Self::Set => "set",
        }
    }
}

/// A method of a service.
#[derive(Debug)]
pub struct MethodDoc {
    /// Its name.
    pub name: &'static str,
    /// Who may call it, which tells its service.
    pub access: Access,
    /// Its arguments, a struct.
    pub arguments: TypeDoc,
}

/// A service: its name, the one whose methods it has as well, and its own methods.
#[derive(Debug)]
pub struct ServiceDoc {
    /// Its name.
    pub name: &'static str,
    /// The service that it extends.
    pub extends: Option<&'static str>,
    /// Its own methods.
    pub methods: Vec<&'static MethodDoc>,
}

/// The three services.
pub fn services() -> Vec<ServiceDoc> {
    let of = |access| {
        let methods = Request::DOCS.iter();
        methods.filter(|method| method.access == access).collect()
    };
    let service = |name, extends, access| ServiceDoc {
        name,
        extends,
        methods: of(access),
    };
    vec![
        service("ReadOnlyScheduler", None, Access::Open),
        service(
            "AuroraSchedulerManager",
            Some("ReadOnlyScheduler"),
            Access::Job,
        ),
        service("AuroraAdmin", Some("AuroraSchedulerManager"), Access::Admin),
    ]
}

/// Every enum and every struct that methods take or give, by name.
#[derive(Debug, Default)]
pub struct Types {
    /// Enums.
    pub enums: BTreeMap<&'static str, &'static EnumDoc>,
    /// Structs and unions.
    pub structs: BTreeMap<&'static str, &'static StructDoc>,
}

/// All types that the services use.
pub fn types() -> Types {
    let mut types = Types::default();
    types.take(<Response as Value>::DOC);
    for method in Request::DOCS {
        if let TypeDoc::Struct(arguments) = method.arguments {
            arguments
                .fields
                .iter()
                .for_each(|field| types.take(field.of));
        }
    }
    types
}

impl Types {
    fn take(&mut self, doc: TypeDoc) {
        match doc {
            TypeDoc::Bool | TypeDoc::Double | TypeDoc::I32 | TypeDoc::I64 | TypeDoc::String => {}
            TypeDoc::Enum(doc) => {
                self.enums.insert(doc.name, doc);
            }
            TypeDoc::Struct(doc) => {
                if self.structs.insert(doc.name(), doc).is_none() {
                    doc.fields.iter().for_each(|field| self.take(field.of));
                }
            }
        }
    }
}
