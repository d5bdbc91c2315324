# METADATA
# scope: package
# description: >-
#   Delegation that goes deeper than one agent. It goes by the parent task, which the gateway verified, and never by the
#   nested `act` claims, which are history (RFC 8693 4.1).
package remit.lib.chains

# METADATA
# description: Says whether a request comes from the agent that the user spoke to, and not from an agent of that agent.
is_root(request) if request.parent_task == null
