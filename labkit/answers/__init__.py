"""Predictions before answers: questions, what students answered, and what was then observed.

predictions  what a notebook calls      store      the student's file
question     a question and its rule    handing_in what is handed in
questions/   all of them                summary    what the instructor makes of it
"""
