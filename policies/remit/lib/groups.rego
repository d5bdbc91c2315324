# METADATA
# scope: package
# description: The way from a user's groups to entitlements.
package remit.lib.groups

# METADATA
# description: >-
#   The ids of the entitlements to which the catalogue's index leads the members of these groups. The index is read by
#   key, never as a whole, so the cost goes by the number of groups asked for and not by the size of the catalogue.
entitled(groups) := {id |
	index := data.remit.catalog.entitlements.by_group
	some group in groups
	some id in index[group]
}
