"""The values of computed keys: functions write them, and the code that asks reads them."""
