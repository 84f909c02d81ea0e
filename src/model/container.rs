//! What a task runs in.

/// The container of a task.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Container {
    /// Run by a Docker engine.
    Docker {
        /// The image, `name:tag`.
        image: String,
        /// Parameters for the engine.
        parameters: Vec<DockerParameter>,
    },
    /// Run by the agent itself, in an image's file system if there is one.
    Mesos {
        /// The file system.
        image: Option<Image>,
        /// Directories of the machine that are visible inside.
        volumes: Vec<Volume>,
    },
}

impl Default for Container {
    fn default() -> Self {
        Self::Mesos {
            image: None,
            volumes: Vec::new(),
        }
    }
}

/// A parameter for a Docker engine.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct DockerParameter {
    /// Its name.
    pub name: String,
    /// Its value.
    pub value: String,
}

/// A file system image.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Image {
    /// By name and image id.
    Appc {
        /// The image's name.
        name: String,
        /// The image's id.
        image_id: String,
    },
    /// By name and tag.
    Docker {
        /// The image's name.
        name: String,
        /// The image's tag.
        tag: String,
    },
}

/// A directory of the machine that is visible in the container.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Volume {
    /// Where it is seen.
    pub container_path: String,
    /// Where it is.
    pub host_path: String,
    /// What may be done with it.
    pub mode: VolumeMode,
}

/// What may be done with a volume.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum VolumeMode {
    /// Only read.
    ReadOnly,
    /// Read and written.
    ReadWrite,
}
