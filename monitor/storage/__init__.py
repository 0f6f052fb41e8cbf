"""The database: schema, writers, roll-up, results, figures and the rows that stand for work."""
