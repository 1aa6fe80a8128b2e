"""The server's machines: sessions, links, subscriptions, and the node that holds them. Pure, like all of the core."""
