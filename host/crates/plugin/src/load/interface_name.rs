//! Parses the names of interfaces, and compares their versions as the linker does.

/// The parts of an interface's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct InterfaceName<'a> {
    pub(crate) package: &'a str,
    pub(crate) interface: &'a str,
    pub(crate) version: &'a str,
}

impl<'a> InterfaceName<'a> {
    /// Parses a name. None for one without a package and a version, such as that of a plain function.
    pub(crate) fn parse(name: &'a str) -> Option<Self> {
        let (package, rest) = name.split_once('/')?;
        let (interface, version) = rest.split_once('@')?;
        Some(Self { package, interface, version })
    }

    /// True if the linker would accept one version for the other.
    pub(crate) fn is_compatible(&self, version: &str) -> bool {
        fn track(version: &str) -> Option<(&str, &str)> {
            if version.contains('-') {
                return None;
            }
            let mut parts = version.split('.');
            let (major, minor) = (parts.next()?, parts.next()?);
            if major == "0" && minor == "0" {
                return None;
            }
            Some((major, if major == "0" { minor } else { "" }))
        }
        self.version == version || track(self.version).is_some_and(|own| track(version) == Some(own))
    }

    pub(crate) fn is(&self, package: &str, interface: &str, version: &str) -> bool {
        self.package == package && self.interface == interface && self.is_compatible(version)
    }
}
