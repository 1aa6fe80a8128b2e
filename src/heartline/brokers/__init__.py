"""Where channels and session records live, one module each, behind one port (`heartline.core.ports.Broker`)."""
