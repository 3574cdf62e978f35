"""Tables of any form: CSV and its like, workbooks, Parquet, ORC; rows with the lines they stand on."""
