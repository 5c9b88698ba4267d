import CLI

PgarkCommand.main()
