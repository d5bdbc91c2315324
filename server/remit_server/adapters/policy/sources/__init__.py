"""Where bundles come from: archives, signatures, folders and bundle servers, none of them trusted."""
