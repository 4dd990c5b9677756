"""Extensions of Apple's Calendar and Contacts Server."""
