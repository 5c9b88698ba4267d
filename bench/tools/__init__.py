"""The tools, in the order in which they take their turns and stand in the table."""
from tools.barman import Barman, UncompressedBarman
from tools.pgark import Pgark
from tools.pgbackrest import PgBackRest
from tools.postgres import (
    DiscardedBaseBackup, GzipReceiveWAL, NoStandby, OwnWAL, PlainBaseBackup, Standby, SynchronousReceiveWAL, ZstdBaseBackup)

TOOLS = [Pgark, PgBackRest, Barman, UncompressedBarman, ZstdBaseBackup, PlainBaseBackup, DiscardedBaseBackup, GzipReceiveWAL,
         SynchronousReceiveWAL, Standby, NoStandby, OwnWAL]
