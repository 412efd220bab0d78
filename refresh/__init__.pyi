from refresh.errors import RefreshError as RefreshError
from refresh.reading.connecting import connect as connect
from refresh.reading.database import Database as Database
from refresh.reading.frame import Frame as Frame

__all__ = ["Database", "Frame", "RefreshError", "connect"]
