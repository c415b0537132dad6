"""A drawn stable: horses whose behaviour is scripted and therefore known, as cameras with real RTSP streams."""
